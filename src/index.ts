export * from './data/index.ts';
export * from './generate/index.ts';
export * from './models/index.ts';
export * from './native/errors.ts';
export * from './nn/index.ts';
export * from './optim/index.ts';
export * from './pipeline/index.ts';
export * from './tensor/index.ts';
