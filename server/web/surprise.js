// A lively prompt, made of words that the model knows.

const PARTS = {
  size: ["a tiny", "a small", "a big", "a huge"],
  mood: ["sleepy", "fierce", "shy", "cheerful", "ancient", "stubborn", "curious", "proud"],
  color: ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black"],
  kind: ["fire", "water", "grass", "electric", "ice", "rock", "ghost", "fairy", "poison"],
  body: [
    ...["dragon", "turtle", "fox", "bird", "snake", "beetle", "fish", "mouse", "golem"],
    ...["lizard", "moth", "crab", "wolf", "frog", "jellyfish", "bat"],
  ],
  more: [
    ...["with glowing eyes", "with a spiked shell", "with leafy wings", "with a long tail"],
    ...["from the mountains", "that lives in a cave", "of the deep sea", "from the forest"],
    ...["with a crystal on its back", "wrapped in flames", "from the frozen north"],
  ],
};

const one = (words) => words[Math.floor(Math.random() * words.length)];

export function surprise() {
  const { size, mood, color, kind, body, more } = PARTS;
  const middle = Math.random() < 0.5 ? [one(mood), one(color)] : [one(color)];
  return [one(size), ...middle, one(kind), one(body), one(more)].join(" ");
}
