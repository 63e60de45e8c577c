import { fromTypedArray, ImageProcessor, scope, type Tensor, tensor } from 'blip2';
import { SIDE } from './scene.ts';

/** For pictures of other sizes and in files. */
export const imageProcessor = new ImageProcessor({ size: { height: SIDE, width: SIDE } });
const { imageMean, imageStd } = imageProcessor.config;

/** Bytes of pictures → normalised `[B, 3, 64, 64]`, as the image processor does it. */
export function normalised(pixels: Uint8Array): Tensor {
  return scope(() => {
    const [mean, std] = [imageMean, imageStd].map((values) => tensor(values.map((value) => [[255 * value]])));
    const bytes = fromTypedArray(pixels, [pixels.length / (SIDE * SIDE * 3), SIDE, SIDE, 3]);
    return bytes
      .permute(0, 3, 1, 2)
      .float()
      .sub(mean as Tensor)
      .div(std as Tensor);
  });
}
