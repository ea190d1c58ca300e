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
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (!content) return;
  const schema = all[content.schema.$ref.split("/").pop()];
  const rows = Object.entries(schema.properties);
  fields(place, rows.map(([n, s]) => [n, s, schema.required.includes(n)]), all);
  const sent = type === "application/json"
    ? [`-H "Content-Type: ${type}"`, `-d '${JSON.stringify(content.example)}'`]
    : Object.entries(content.example).map(([name, value]) => `-F "${name}=${value}"`);
  add(place, "pre", [`curl -X POST ${location.origin}${path}`, ...sent].join(" \\\n  "));
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
