export { contrastSimilarity, itcLoss, type Positives, positivesOf } from './itc.ts';
export { drawNegatives, itmLoss } from './itm.ts';
export { type LinearCrossEntropyOptions, linearCrossEntropy, type TokenLosses } from './linear-cross-entropy.ts';
export { type LmLossOptions, lmLoss, tokenLoss } from './lm.ts';
