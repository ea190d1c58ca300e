// Everything that test_openai_js.py wants to know of OpenAI's client for JavaScript:
//   node openai_client.cjs BASE_URL PICTURE MASK
// prints what it was answered as JSON. NODE_PATH leads to the package.
const fs = require("node:fs");
const OpenAI = require("openai");

const [baseURL, picture, mask] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
const prompt = "a red fish";

// A file as the client's users send it: with a name and a type.
const file = (path) =>
  OpenAI.toFile(fs.readFileSync(path), "fish.png", { type: "image/png" });

async function refused(asked) {
  try {
    await asked;
    return null;
  } catch (error) {
    const { status, code, param, message } = error;
    return { kind: error.constructor.name, status, code, param, message };
  }
}

async function main() {
  const told = {};
  told.models = [];
  for await (const model of client.models.list()) told.models.push(model.id);
  told.generated = await client.images.generate({ prompt, seed: 1, n: 2, size: "64x64" });
  told.events = [];
  const asked = { prompt, seed: 1, stream: true, partial_images: 1 };
  for await (const event of await client.images.generate(asked)) told.events.push(event);
  told.edited = await client.images.edit({
    image: await file(picture),
    mask: await file(mask),
    prompt,
    seed: 1,
    model: "pokejax",
  });
  told.varied = await client.images.createVariation({ image: await file(picture), seed: 1 });
  told.refused = [
    await refused(client.images.generate({ prompt, size: "2048x2048" })),
    await refused(client.images.generate({ prompt, model: "dall-e-3" })),
    await refused(client.images.generate({ prompt: " ", stream: true })),
    await refused(client.images.edit({ image: await file(picture), prompt, n: 11 })),
    await refused(client.models.retrieve("pokejay")),
  ];
  console.log(JSON.stringify(told));
}

main();
