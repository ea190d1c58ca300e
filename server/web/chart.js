// Lines over epochs, as SVG.

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 480;
const HEIGHT = 200;
const LEFT = 52;
const BOTTOM = 24;

function svg(tag, properties, text = "") {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

const short = (value) => Number(value.toPrecision(3)).toLocaleString("en");

/**
 * A chart; null if there is nothing to show.
 * @param {string} title
 * @param {object[]} rows of a log, with an Epoch
 * @param {string[]} names of the columns to draw
 */
export function chart(title, rows, names) {
  const values = names.flatMap((name) => rows.map((row) => row[name])).filter(Number.isFinite);
  if (!values.length) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [rows[0].Epoch, rows.at(-1).Epoch];
  const x = (epoch) => LEFT + ((WIDTH - LEFT - 8) * (epoch - first)) / (last - first || 1);
  const y = (value) => 8 + ((HEIGHT - BOTTOM - 8) * (high - value)) / (high - low || 1);
  const box = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "chart" });
  box.append(svg("title", {}, `${title}: ${names.join(", ")}`));
  for (const value of new Set([low, (low + high) / 2, high])) {
    const at = y(value);
    box.append(svg("line", { x1: LEFT, x2: WIDTH - 8, y1: at, y2: at, class: "rule" }));
    box.append(svg("text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(value)));
  }
  for (const [epoch, anchor] of [[first, "start"], [last, "end"]]) {
    const place = { x: x(epoch), y: HEIGHT - 6, "text-anchor": anchor };
    box.append(svg("text", place, `epoch ${epoch}`));
  }
  names.forEach((name, i) => {
    const points = rows
      .filter((row) => Number.isFinite(row[name]))
      .map((row) => `${x(row.Epoch).toFixed(1)},${y(row[name]).toFixed(1)}`);
    const dot = points.length === 1 ? ` ${points[0]}` : ""; // a line needs two
    box.append(svg("polyline", { points: points.join(" ") + dot, class: `line line-${i}` }));
  });
  return box;
}
