import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { documents, moduleOf, snippetsOf } from '../support/docs.ts';

// What the documents show is right as types go: names, options, results. What can run does so in other tests.

const root = path.join(import.meta.dirname, '../..');

/** What a reader has already. */
const GIVEN: Readonly<Record<string, string>> = {
  'README.md': `import { type Blip2Inputs } from 'blip2';
declare const batches: Iterable<Blip2Inputs>;`,
  'docs/decoding.md': `import { type Blip2ForConditionalGeneration, type Tensor } from 'blip2';
declare const model: Blip2ForConditionalGeneration;
declare const pixelValues: Tensor, inputIds: Tensor, attentionMask: Tensor;
declare const continuations: number[][];`,
  'docs/images.md': `import { type RawImage } from 'blip2';
declare const bytes: Uint8Array, imageData: RawImage;`,
  'docs/retrieval.md': `import { type Dataset, type FeatureCache, type OpenData, type CaptionedBatch, type Stage1Recipe, type Tensor, type VisionModel } from 'blip2';
declare const recipe: Stage1Recipe, directory: string, data: OpenData<CaptionedBatch>;
declare const validation: Dataset, cache: FeatureCache, pixelValues: Tensor, visionModel: VisionModel;`,
  'docs/tensors.md': `import { fromTypedArray, Generator, grad, manualSeed, memory, noGrad, randn, scope, slice, tensor, wrapTypedArray } from 'blip2';`,
  'docs/training.md': `import { type ClipVisionModel } from 'blip2';
declare const tower: ClipVisionModel;`,
};

test('the snippets of every document type-check', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-docs-'));
  try {
    const files = documents();
    expect(files.length).toBeGreaterThan(12);
    const options = {
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [path.join(root, 'node_modules/@types')],
      paths: { blip2: [path.join(root, 'dist/index.d.ts')] },
    };
    for (const kind of ['ts', 'js'] as const) {
      const own = files.filter((file) => snippetsOf(file).some(({ language }) => language === 'ts') === (kind === 'ts'));
      fs.mkdirSync(path.join(folder, kind));
      fs.writeFileSync(path.join(folder, kind, 'package.json'), '{ "type": "module" }');
      // JavaScript has no place for types: of parameters, of what may be missing, of what only its author knows.
      const compilerOptions = { ...options, ...(kind === 'js' ? { noImplicitAny: false, strictNullChecks: false } : {}) };
      if (kind === 'js') delete (compilerOptions as Partial<typeof options>).exactOptionalPropertyTypes;
      const typed = (code: string): string => (kind === 'js' ? code.replaceAll('.toArray()', '.toArray() as never') : code);
      fs.writeFileSync(path.join(folder, kind, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
      for (const file of own) {
        const code = typed(moduleOf(snippetsOf(file), 'blip2', GIVEN[file]));
        fs.writeFileSync(path.join(folder, kind, `${path.basename(file, '.md')}.ts`), code);
      }
      const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
      const { stdout } = spawnSync(process.execPath, [compiler, '-p', path.join(folder, kind)], { encoding: 'utf8' });
      expect(stdout.replaceAll(`${folder}/`, '')).toBe('');
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
