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
  const images = Array.from(labels, (_, n) => {
    const {data} =
      context.getImageData((n % columns) * SIDE, Math.floor(n / columns) * SIDE, SIDE, SIDE);
    return Uint8Array.from({length: PIXELS}, (_, i) => data[4 * i]);
  });
  return {images, labels};
}
