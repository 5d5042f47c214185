// The test digits that travel with the figures.

import {PIXELS, SIDE} from "./pad.js";

/** Their grey levels and labels, from a picture with one digit beside the other in rows. */
export async function digitsOf({png, labels}) {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const columns = image.width / SIDE;
  const {data} = context.getImageData(0, 0, image.width, image.height);
  const images = Array.from(labels, (_, n) => {
    const levels = new Uint8Array(PIXELS);
    const first = Math.floor(n / columns) * SIDE * image.width + (n % columns) * SIDE;
    for (let i = 0; i < PIXELS; i++)
      levels[i] = data[4 * (first + Math.floor(i / SIDE) * image.width + (i % SIDE))];
    return levels;
  });
  await new Promise((done) => setTimeout(done)); // what follows is another task
  return {images, labels};
}
