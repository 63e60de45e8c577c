import { type Blip2Config, blip2Config } from 'blip2';
import { SIDE } from '../emoji/scene.ts';
import { special } from '../emoji/vocabulary.ts';

/** A BLIP-2 small enough to learn emoji scenes in minutes: about 1.9 million parameters. */
export function smallBlip2(vocabSize: number): Blip2Config {
  const width = 128;
  const [numAttentionHeads, intermediateSize] = [4, 4 * width];
  // Layers that keep the size of what passes through them: the small weights that pre-trained models start from learn far more slowly here.
  const initializerRange = width ** -0.5;
  return blip2Config({
    numQueryTokens: 8,
    imageTokenIndex: special.image,
    initializerRange,
    visionConfig: {
      imageSize: SIDE,
      patchSize: 16,
      hiddenSize: width,
      intermediateSize,
      numHiddenLayers: 4,
      numAttentionHeads,
      initializerRange,
    },
    qformerConfig: {
      hiddenSize: width,
      intermediateSize,
      numHiddenLayers: 2,
      numAttentionHeads,
      crossAttentionFrequency: 1,
      hiddenDropoutProb: 0,
      attentionProbsDropoutProb: 0,
      initializerRange,
    },
    textConfig: {
      modelType: 'opt',
      vocabSize,
      hiddenSize: width,
      ffnDim: intermediateSize,
      numHiddenLayers: 2,
      numAttentionHeads,
      maxPositionEmbeddings: 64,
      dropout: 0,
      padTokenId: special.pad,
      bosTokenId: special.end,
      eosTokenId: special.end,
      initStd: initializerRange,
    },
  });
}
