import { noGrad, scope, type Tensor, tensor } from '../../tensor/index.ts';
import type { Colour } from '../fields.ts';
import type { ImageProcessorConfig } from './processor.ts';

/**
 * (x · rescale − mean) / std of float32 pixels `[…, 3, H, W]`, in place. The order of operations is Hugging Face's: mean and deviation are
 * scaled instead of the pixels.
 */
export function normalise(
  values: Tensor,
  config: Pick<ImageProcessorConfig, 'doRescale' | 'rescaleFactor' | 'doNormalize' | 'imageMean' | 'imageStd'>,
): void {
  const { doRescale, rescaleFactor, doNormalize, imageMean, imageStd } = config;
  noGrad(() =>
    scope(() => {
      if (doNormalize) {
        const scale = doRescale ? Math.fround(1 / rescaleFactor) : 1;
        const perColour = (colour: Colour): Tensor =>
          tensor(
            colour.map((value) => Math.fround(Math.fround(value) * scale)),
            { device: values.device },
          ).view(3, 1, 1);
        values.sub_(perColour(imageMean)).div_(perColour(imageStd));
      } else if (doRescale) values.mul_(rescaleFactor);
    }),
  );
}
