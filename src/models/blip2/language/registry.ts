// Every kind of language model under its `model_type`, a line each.
export { opt } from './opt.ts';
export { t5 } from './t5.ts';
