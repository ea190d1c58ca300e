// What Pixi's own reader of sprite sheets makes of one:
//   node read_sheet.cjs SHEET_JSON
// prints it as JSON. NODE_PATH leads to the package.
const fs = require("node:fs");
const { BaseTexture } = require("@pixi/core");
const { Spritesheet } = require("@pixi/spritesheet");

async function main() {
  const data = JSON.parse(fs.readFileSync(process.argv[2]));
  const { w: width, h: height } = data.meta.size;
  const sheet = new Spritesheet(new BaseTexture(null, { width, height }), data);
  const textures = Object.entries(await sheet.parse());
  const nameOf = (texture) => textures.find(([, other]) => other === texture)[0];
  const told = { frames: {}, animations: {} };
  for (const [name, { frame, orig, trim }] of textures) {
    const { x, y, width, height } = frame;
    told.frames[name] = { x, y, width, height, whole: [orig.width, orig.height], trim };
  }
  for (const [name, frames] of Object.entries(sheet.animations)) {
    told.animations[name] = frames.map(nameOf);
  }
  console.log(JSON.stringify(told));
}

main();
