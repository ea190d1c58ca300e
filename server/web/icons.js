// Icons as pixels, a letter each: the studio is about pixels, after all.

const SHAPES = {
  heart: [".##.##.", "#######", "#######", ".#####.", "..###..", "...#..."],
  hollow: [".##.##.", "#..#..#", "#.....#", ".#...#.", "..#.#..", "...#..."],
  dice: ["#######", "#.....#", "#.#.#.#", "#.....#", "#.#.#.#", "#.....#", "#######"],
  locked: ["..###..", ".#...#.", ".#...#.", "#######", "###.###", "###.###", "#######"],
  open: ["..###..", ".#...#.", ".#.....", "#######", "#.....#", "#.....#", "#######"],
  theme: ["..###..", ".#.###.", "#..####", "#..####", "#..####", ".#.###.", "..###.."],
  key: [".###...", "#...#..", "#...###", "#...#.#", ".###..#"],
  help: [".#####.", "##...##", "....##.", "...##..", ".......", "...##.."],
};

/** An icon of the size of its text, for a button that has a name. */
export function icon(name) {
  const rows = SHAPES[name];
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  const squares = rows.flatMap((row, y) =>
    [...row].map((mark, x) => (mark === "#" ? `M${x} ${y}h1v1h-1z` : "")),
  );
  svg.setAttribute("viewBox", `0 0 7 ${rows.length}`);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  path.setAttribute("d", squares.join(""));
  svg.append(path);
  return svg;
}
