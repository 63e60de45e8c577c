export type { StoredDtype } from './safetensors/dtypes.ts';
export { SafetensorsError } from './safetensors/error.ts';
export { loadSafetensors, openSafetensors, Safetensors, type StoredTensor } from './safetensors/open.ts';
export { type SaveOptions, saveSafetensors } from './safetensors/save.ts';
