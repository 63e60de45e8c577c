export { type AssembleOptions, assembleBlip2, type Blip2Parts } from './blip2/assemble.ts';
export type { CaptionInputs } from './blip2/captions.ts';
export {
  type Blip2Config,
  type Blip2ConfigOptions,
  blip2Config,
  blip2ConfigToJson,
  parseBlip2Config,
} from './blip2/config.ts';
export type { GenerateInputs } from './blip2/generate.ts';
export {
  Blip2ForGenerativePretraining,
  type GenerativePretrainingConfig,
  generativePretrainingConfigToJson,
  parseGenerativePretrainingConfig,
} from './blip2/generative-pretraining.ts';
export type { Language, LanguageConfig, LanguageInputs, LanguagePass } from './blip2/language/kind.ts';
export type { LanguageModel, LanguageModelName, TextConfig, TextConfigOptions } from './blip2/language/kinds.ts';
export { type LanguageLoadOptions, loadLanguageModel, readLanguageConfig } from './blip2/language/load.ts';
export { type LoadLavisOptions, loadLavis, type SaveLavisOptions, saveLavis } from './blip2/lavis.ts';
export type { MatchImages, MatchOptions } from './blip2/matching.ts';
export { Blip2ForConditionalGeneration, type Blip2Inputs, type Blip2Output } from './blip2/model.ts';
export { type PresetName, preset, presetNames } from './blip2/presets.ts';
export { Blip2ForPretraining } from './blip2/pretraining.ts';
export { type PretrainingConfig, parsePretrainingConfig, pretrainingConfigToJson } from './blip2/pretraining-config.ts';
export { assembleRetrieval, type SavePretrainingOptions } from './blip2/pretraining-files.ts';
export { Blip2ForImageTextRetrieval, type RetrievalInputs, type RetrievalOutput } from './blip2/retrieval.ts';
export { type LoadTowerOptions, loadVisionTower, readVisionTowerConfig, type VisionTowerConfig } from './blip2/tower.ts';
export { initFromStage1, loadTrainedParts } from './blip2/trained-parts.ts';
export type { LoadOptions, SavePretrainedOptions } from './checkpoint.ts';
export { type OptConfig, optConfigToJson, parseOptConfig } from './opt/config.ts';
export { OptForCausalLM } from './opt/model.ts';
export type { KeyValue, KeyValueSlot } from './qformer/attention.ts';
export { bertQFormerConfig, initFromBert } from './qformer/bert.ts';
export { parseQFormerConfig, type QFormerConfig } from './qformer/config.ts';
export { QFormerDecoding, type QFormerWriter } from './qformer/decode.ts';
export { QFormerEmbeddings } from './qformer/embeddings.ts';
export { QFormerLmHead } from './qformer/lm-head.ts';
export { captionMask, contrastMask, matchingMask, unifiedMask } from './qformer/masks.ts';
export {
  type CrossKeyValues,
  type QFormerInputs,
  QFormerModel,
  type QFormerOutput,
  type QFormerStreams,
  type SharedPictures,
} from './qformer/model.ts';
export { type PackedRow, Packing } from './qformer/packing.ts';
export type { Wanted } from './qformer/stream.ts';
export { parseT5Config, type T5Config, t5ConfigToJson } from './t5/config.ts';
export { T5ForConditionalGeneration } from './t5/model.ts';
export type { TransferReport } from './transfer.ts';
export { type ClipVisionConfig, parseClipVisionConfig } from './vision/clip/config.ts';
export { ClipVisionModel, type ClipVisionOutput } from './vision/clip/model.ts';
export { parseVisionConfig, type VisionConfig } from './vision/eva/config.ts';
export { VisionModel, type VisionOutput } from './vision/eva/model.ts';
export type { VisionOptions } from './vision/pixels.ts';
