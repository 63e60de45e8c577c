import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { aPath, checkArgument, having } from '../native/arguments.ts';
import { FileError } from '../native/errors.ts';
import { JsonFields } from '../native/fields.ts';
import { type Json, makeFolder, readJson, reasonOf, writeFileAtomically } from '../native/files.ts';
import { type Module, StateDictError } from '../nn/index.ts';
import type { AdamW, AdamWSettings, LossScalerState } from '../optim/index.ts';
import { openSafetensors, saveSafetensors, type Tensor } from '../tensor/index.ts';
import type { GeneratorStates } from './generators.ts';

/** What of a run is neither weights nor the optimizer's tensors. */
export interface RunState {
  /** Steps done. */
  readonly step: number;
  /** Samples seen. */
  readonly samples: number;
  /** Where the data is. */
  readonly data: Json;
  /** Positions of the random streams, by name. */
  readonly generators: GeneratorStates;
  /** The loss scaler's, in float16; otherwise null. */
  readonly scaler: LossScalerState | null;
  /** The best evaluation so far. */
  readonly best: BestCheckpoint | null;
  /** Whether this step has been evaluated. */
  readonly evaluated: boolean;
  /** What the run was told; null where it was told nothing. */
  readonly recipe: Json;
}

/** The checkpoint whose evaluation was best. */
export interface BestCheckpoint {
  /** Steps done when it was saved. */
  readonly step: number;
  /** Its metric. */
  readonly value: number;
}

/** A file's format, so that later ones can tell it. */
const FORMAT = 1;
const MODEL = 'model.safetensors';
const OPTIMIZER = 'optimizer.safetensors';
const STATE = 'state.json';
const MAX_BYTES = 2 ** 28; // of the state: a shuffling buffer's position can be long

/**
 * Writes a checkpoint into a new folder, which appears whole or not at all: `model.safetensors` (what is trained, and buffers; everything
 * with `whole`), `optimizer.safetensors` (`exp_avg.<parameter>`, `exp_avg_sq.<parameter>`) and `state.json`.
 *
 * @throws FileError
 */
export function saveTraining(folder: string, model: Module, optimizer: AdamW, state: RunState, whole = false): void {
  checkArgument('folder', folder, aPath);
  checkArgument('model', model, having('namedParameters', 'stateDict'));
  checkArgument('optimizer', optimizer, having('parameters', 'groups'));
  checkArgument('state', state, having('generators'));
  const temporary = path.join(
    path.dirname(folder),
    `.${path.basename(folder)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`,
  );
  try {
    attempt(folder, () => makeFolder(temporary));
    saveSafetensors(path.join(temporary, MODEL), whole ? model.stateDict() : trainedState(model));
    saveSafetensors(path.join(temporary, OPTIMIZER), named(model, optimizer).tensors);
    saveRunState(temporary, model, optimizer, state);
    attempt(folder, () => {
      fs.renameSync(temporary, folder);
      syncFolder(path.dirname(folder));
    });
  } catch (error) {
    fs.rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Writes `state.json` alone, into a checkpoint whose tensors are those of this step already.
 * @throws FileError
 */
export function saveRunState(folder: string, model: Module, optimizer: AdamW, state: RunState): void {
  const { groups, steps } = named(model, optimizer);
  const generators = Object.entries(state.generators).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]);
  const json = { format: FORMAT, ...state, generators: Object.fromEntries(generators), optimizer: { groups, steps } };
  writeFileAtomically(path.join(folder, STATE), `${JSON.stringify(json, null, 1)}\n`);
}

/**
 * Reads a checkpoint into a model and its optimizer, and gives the rest of its state.
 *
 * @throws FileError for a file that is missing or not as expected; StateDictError where it is of another model
 */
export function loadTraining(folder: string, model: Module, optimizer: AdamW): RunState {
  checkArgument('folder', folder, aPath);
  checkArgument('model', model, having('namedParameters', 'stateDict'));
  checkArgument('optimizer', optimizer, having('parameters', 'groups'));
  const file = path.join(folder, STATE);
  const fields = new StateFields(readJson(file, MAX_BYTES), '', file);
  const format = fields.count('format');
  if (format !== FORMAT) throw fields.refusal('format', String(FORMAT));
  loadModel(path.join(folder, MODEL), model);
  loadOptimizer(path.join(folder, OPTIMIZER), fields.child('optimizer'), model, optimizer);
  const scaler = fields.raw('scaler') === undefined ? null : fields.child('scaler');
  return {
    step: fields.count('step'),
    samples: fields.count('samples'),
    data: fields.raw('data') ?? null,
    generators: fields.child('generators').bytes(),
    scaler: scaler === null ? null : { scale: scaler.number('scale'), tracker: scaler.count('tracker') },
    best: fields.best(),
    evaluated: fields.flag('evaluated', true),
    recipe: fields.raw('recipe') ?? null,
  };
}

/** What a checkpoint's run was told, without reading its tensors. */
export function readRecipe(folder: string): Json {
  checkArgument('folder', folder, aPath);
  const file = path.join(folder, STATE);
  return new StateFields(readJson(file, MAX_BYTES), '', file).raw('recipe') ?? null;
}

/** A checkpoint's step, and the best evaluation of its run until then. @throws FileError */
export function readProgress(folder: string): Pick<RunState, 'step' | 'best'> {
  checkArgument('folder', folder, aPath);
  const file = path.join(folder, STATE);
  const fields = new StateFields(readJson(file, MAX_BYTES), '', file);
  return { step: fields.count('step'), best: fields.best() };
}

/**
 * Reads a checkpoint's weights into a model, without what training needs beside them.
 * @throws FileError for a file that is missing or not as expected; StateDictError where it is of another model
 */
export function loadTrained(folder: string, model: Module): void {
  checkArgument('folder', folder, aPath);
  checkArgument('model', model, having('namedParameters', 'stateDict'));
  loadModel(path.join(folder, MODEL), model);
}

/** The parameters that are trained, and the buffers. */
function trainedState(model: Module): Map<string, Tensor> {
  const trained = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
  return new Map<string, Tensor>([...trained, ...model.namedBuffers()]);
}

function loadModel(file: string, model: Module): void {
  const own = model.stateDict();
  const stored = openSafetensors(file);
  try {
    const missing = [...trainedState(model).keys()].filter((name) => !stored.has(name));
    const unexpected = stored.names.filter((name) => !own.has(name));
    const differs = (name: string): boolean => stored.info(name).shape.join() !== own.get(name)?.shape.join();
    const mismatched = stored.names.filter((name) => own.has(name) && differs(name));
    if (missing.length + unexpected.length + mismatched.length > 0)
      throw new StateDictError(missing, unexpected, mismatched, file);
    for (const name of stored.names) stored.copyInto(name, own.get(name) as Tensor);
  } finally {
    stored.close();
  }
}

/** The optimizer's state under the parameters' names instead of their places. */
function named(
  model: Module,
  optimizer: AdamW,
): { groups: AdamWSettings[]; steps: Record<string, number>; tensors: Map<string, Tensor> } {
  const { groups, steps, tensors } = optimizer.stateDict();
  const names = namesOf(model, optimizer);
  const renamed = [...tensors].map(([key, tensor]) => {
    const [place = '', kind = ''] = key.split('.');
    return [`${kind}.${names[Number(place)]}`, tensor] as const;
  });
  return { groups, steps: Object.fromEntries(names.map((name, i) => [name, steps[i] ?? 0])), tensors: new Map(renamed) };
}

function loadOptimizer(file: string, fields: StateFields, model: Module, optimizer: AdamW): void {
  const stored = openSafetensors(file);
  try {
    const tensors = new Map<string, Tensor>();
    const names = namesOf(model, optimizer);
    const counts = fields.child('steps');
    for (const [i, name] of names.entries()) {
      for (const kind of ['exp_avg', 'exp_avg_sq']) {
        if (stored.has(`${kind}.${name}`)) tensors.set(`${i}.${kind}`, stored.get(`${kind}.${name}`));
      }
    }
    const steps = names.map((name) => counts.count(name));
    const groups = (fields.list('groups') ?? []) as unknown as AdamWSettings[];
    optimizer.loadStateDict({ groups, steps, tensors });
    for (const tensor of tensors.values()) tensor.dispose();
  } finally {
    stored.close();
  }
}

function namesOf(model: Module, optimizer: AdamW): string[] {
  const names = new Map<Tensor, string>([...model.namedParameters()].map(([name, parameter]) => [parameter, name]));
  return optimizer.parameters.map((parameter, i) => names.get(parameter) ?? `other.${i}`);
}

/** The state's fields: each that is not as expected is a FileError. */
class StateFields extends JsonFields {
  readonly #file: string;

  constructor(json: unknown, name: string, file: string) {
    super(json, name, (field, expected, came) => new FileError(file, `expected ${expected} for ${field} but received ${came}`));
    this.#file = file;
  }

  child(name: string): StateFields {
    return new StateFields(this.raw(name), this.name(name), this.#file);
  }

  count(name: string): number {
    const value = this.whole(name, 0);
    if (value === undefined) throw this.refusal(name, 'a whole number from 0');
    return value;
  }

  number(name: string): number {
    const value = this.raw(name);
    if (typeof value !== 'number') throw this.refusal(name, 'a number');
    return value;
  }

  best(): BestCheckpoint | null {
    if (this.raw('best') === undefined) return null;
    const best = this.child('best');
    return { step: best.count('step'), value: best.number('value') };
  }

  /** Every field, as bytes in base 64. */
  bytes(): Record<string, Uint8Array> {
    const read = (name: string): Uint8Array => {
      const text = this.text(name) ?? '';
      const bytes = Buffer.from(text, 'base64');
      if (bytes.length === 0 || bytes.toString('base64') !== text) throw this.refusal(name, 'bytes in base 64');
      return new Uint8Array(bytes);
    };
    return Object.fromEntries(Object.keys(this.json).map((name) => [name, read(name)]));
  }
}

function syncFolder(folder: string): void {
  const descriptor = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function attempt<T>(folder: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new FileError(folder, `cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}
