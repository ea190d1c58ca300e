"use strict";
const form = document.getElementById("ask");
const told = document.getElementById("told");
const pictures = document.getElementById("pictures");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { prompt: form.prompt.value, num_samples: 4, scale: 4 };
  if (form.seed.value) body.seed = Number(form.seed.value);
  told.textContent = "…";
  const response = await fetch("/api/v1/generate", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    told.textContent = answer.error.message;
    return;
  }
  const known = Object.entries(answer.attributes);
  told.textContent = known.map(([name, value]) => `${name}: ${value}`).join(", ");
  pictures.replaceChildren(
    ...answer.images.map((url, i) => {
      const image = new Image();
      image.src = url;
      image.alt = `seed ${answer.seeds[i]}`;
      image.title = image.alt;
      return image;
    }),
  );
});
