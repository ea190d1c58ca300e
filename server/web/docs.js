"use strict";

function add(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

function kind(schema, all) {
  if (schema.$ref) schema = all[schema.$ref.split("/").pop()];
  if (schema.anyOf) return schema.anyOf.map((s) => kind(s, all)).join(" or ");
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  const limits = [];
  if (schema.minimum !== undefined) limits.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) limits.push(`to ${schema.maximum}`);
  if (schema.maxLength !== undefined) limits.push(`at most ${schema.maxLength} characters`);
  return [schema.title || schema.type || "any", ...limits].join(" ");
}

function fields(place, rows, all) {
  const list = add(place, "ul", "");
  for (const [name, schema, required] of rows) {
    const item = add(list, "li", "");
    add(item, "code", name);
    const preset = schema.default ?? null;
    const said = [
      ` ${kind(schema, all)}`,
      required ? "required" : preset === null ? "" : `default ${JSON.stringify(preset)}`,
      schema.description || "",
    ];
    item.append(said.filter(Boolean).join("; "));
  }
}

function show(place, method, path, operation, all) {
  add(place, "h2", `${method.toUpperCase()} ${path}`);
  add(place, "p", `${operation.summary}.`);
  const given = operation.parameters.map((p) => [p.name, p.schema, p.required]);
  if (given.length) fields(place, given, all);
  const content = operation.requestBody?.content["application/json"];
  if (!content) return;
  const schema = all[content.schema.$ref.split("/").pop()];
  const rows = Object.entries(schema.properties);
  fields(place, rows.map(([n, s]) => [n, s, schema.required.includes(n)]), all);
  const example = JSON.stringify(content.example);
  const line = `curl -X POST ${location.origin}${path} \\\n  -H "Content-Type: application/json" \\\n  -d '${example}'`;
  add(place, "pre", line);
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then((document_) => {
    const place = document.getElementById("operations");
    for (const [path, methods] of Object.entries(document_.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        show(place, method, path, operation, document_.components.schemas);
      }
    }
  });
