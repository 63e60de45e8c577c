import { arange, callOperator, cat, eye, noGrad, scope, type Tensor, type VisionModel } from 'blip2';

/**
 * Starts a vision tower where minutes of training suffice: from random weights alone it first learns what its average patch says, the
 * ground, and finds objects and their places late.
 * @param pictures some normalised training pictures `[B, 3, S, S]`
 */
export function startTower(tower: VisionModel, pictures: Tensor): void {
  const { hiddenSize, patchSize, imageSize } = tower.config;
  const { patchEmbedding, positionEmbedding } = tower.embeddings;
  noGrad(() =>
    scope(() => {
      const { weight, bias } = whitening(patchesOf(pictures, patchSize), hiddenSize);
      patchEmbedding.weight.copy_(weight.reshape(...patchEmbedding.weight.shape));
      patchEmbedding.bias?.copy_(bias);
      positionEmbedding.narrow(1, 1, (imageSize / patchSize) ** 2).copy_(sinusoids(imageSize / patchSize, hiddenSize));
      // The first attention takes from each token the mean of all: of the ground, little is left.
      const weights = tower.stateDict();
      const attention = (name: string): Tensor | undefined => weights.get(`encoder.layers.0.self_attn.${name}.weight`);
      attention('qkv')
        ?.narrow(0, 2 * hiddenSize, hiddenSize)
        .copy_(eye(hiddenSize));
      attention('projection')?.copy_(eye(hiddenSize).neg());
    }),
  );
}

/** `[B, 3, S, S]` → `[B · (S / P)², 3 · P²]`, in the order of a convolution's weights. */
function patchesOf(pictures: Tensor, side: number): Tensor {
  const [batch, , size] = pictures.shape as readonly [number, number, number, number];
  const grid = size / side;
  const cut = pictures.reshape(batch, 3, grid, side, grid, side).permute(0, 2, 4, 1, 3, 5);
  return cut.reshape(batch * grid * grid, 3 * side * side);
}

/**
 * y = W·x + b with the `count` strongest principal components of x `[N, D]`, each divided by √(λ + λ₁/100), so that the ground's colour
 * does not drown all else.
 */
function whitening(x: Tensor, count: number): { weight: Tensor; bias: Tensor } {
  const mean = x.mean(0);
  const centred = x.sub(mean);
  const covariance = centred.transpose(0, 1).matmul(centred).div(x.size(0));
  const [values, vectors] = callOperator('linalg_eigh', covariance, 'L') as [Tensor, Tensor]; // in rising order
  const features = x.size(1);
  const scales = values
    .add(values.amax(0).div(100))
    .sqrt()
    .narrow(0, features - count, count);
  const weight = vectors
    .narrow(1, features - count, count)
    .div(scales)
    .transpose(0, 1);
  return { weight, bias: weight.matmul(mean).neg() };
}

/** Sines and cosines of row and column in a grid, four times as strong as the patches that they are added to: `[1, G², D]`. */
function sinusoids(grid: number, width: number): Tensor {
  const waves = arange(0, width / 4, 1, { dtype: 'float32' })
    .mul((-4 * Math.log(100)) / width)
    .exp();
  const angles = arange(0, grid, 1, { dtype: 'float32' }).unsqueeze(1).mul(waves);
  const line = cat([angles.sin(), angles.cos()], 1).mul(4); // [G, D / 2]
  const [rows, columns] = [line.unsqueeze(1), line.unsqueeze(0)].map((each) => each.expand(grid, grid, width / 2));
  return cat([rows as Tensor, columns as Tensor], 2).reshape(1, grid * grid, width);
}
