// Pixels painted one by one: where a tool's stroke goes, and which colours there are.

/** The pixels of a line, both ends included, after Bresenham. */
export function line([x, y], [toX, toY]) {
  const points = [];
  const across = Math.abs(toX - x);
  const down = -Math.abs(toY - y);
  const [stepX, stepY] = [x < toX ? 1 : -1, y < toY ? 1 : -1];
  let error = across + down;
  for (;;) {
    points.push([x, y]);
    if (x === toX && y === toY) return points;
    const twice = 2 * error;
    if (twice >= down) {
      error += down;
      x += stepX;
    }
    if (twice <= across) {
      error += across;
      y += stepY;
    }
  }
}

/** The outline of a rectangle between two corners. */
export function rectangle([x, y], [toX, toY]) {
  const corners = [[x, y], [toX, y], [toX, toY], [x, toY], [x, y]];
  return corners.slice(1).flatMap((corner, i) => line(corners[i], corner));
}

/** Each point as a square of `width` pixels a side. */
export function widened(points, width) {
  const reach = Array.from({ length: width }, (_, i) => i - Math.floor(width / 2));
  return points.flatMap(([x, y]) =>
    reach.flatMap((dy) => reach.map((dx) => [x + dx, y + dy])),
  );
}

/** All pixels of one colour that are connected with the first one. */
export function area(image, first) {
  const { width, height } = image;
  const colors = new Uint32Array(image.data.buffer);
  const wanted = colors[first[1] * width + first[0]];
  const seen = new Uint8Array(width * height);
  const points = [];
  const todo = [first];
  while (todo.length) {
    const [x, y] = todo.pop();
    const i = y * width + x;
    if (x < 0 || y < 0 || x >= width || y >= height || seen[i] || colors[i] !== wanted) continue;
    seen[i] = 1;
    points.push([x, y]);
    todo.push([x + 1, y], [x - 1, y], [x, y + 1], [x, y - 1]);
  }
  return points;
}

/**
 * The commonest colours as #rrggbb: all of pixel art's, which are few; else, of those that
 * look alike, the commonest.
 */
export function paletteOf({ data }, most = 32) {
  const counts = new Map();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 128) continue;
    const color = hexOf(data.subarray(i, i + 3));
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  const alike = new Set();
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([color]) => color)
    .filter((color) => {
      if (counts.size <= most) return true;
      const rough = color[1] + color[3] + color[5];
      return !alike.has(rough) && alike.add(rough);
    })
    .slice(0, most);
}

export const hexOf = (rgb) =>
  `#${[...rgb].map((value) => value.toString(16).padStart(2, "0")).join("")}`;

export const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
