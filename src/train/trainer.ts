import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ArgumentError } from '../native/errors.ts';
import { makeFolder } from '../native/files.ts';
import { LossScaler } from '../optim/index.ts';
import { trimMemory } from '../tensor/device.ts';
import { type Device, deviceMemory } from '../tensor/index.ts';
import { type BestCheckpoint, loadTraining, readRecipe, saveRunState, saveTraining } from './checkpoint.ts';
import { CheckpointFolder } from './checkpoint-folder.ts';
import type { BatchStream } from './data.ts';
import { type GeneratorStates, Generators } from './generators.ts';
import { Interrupt } from './interrupt.ts';
import type { LateNumbers } from './late.ts';
import type { StepRecord } from './logs/log.ts';
import { NonFiniteError } from './non-finite.ts';
import { checkOptions, checkRecipe, type TrainerOptions } from './options.ts';
import { holdRun } from './run-lock.ts';
import { Speed } from './speed.ts';
import { BAD, deviceOf, GRADIENT_NORM, LOSS_SCALE, TrainingStep } from './step.ts';
import { tensorsIn } from './tensors-in.ts';

/** How a run came to its end. */
export interface TrainingResult {
  /** `'done'`; `'data'` where the data ended first; or what asked it to stop. */
  readonly reason: 'done' | 'data' | 'SIGINT' | 'SIGTERM' | 'abort';
  /** Steps done. */
  readonly step: number;
  /** Samples seen. */
  readonly samples: number;
  /** The last checkpoint's folder. */
  readonly checkpoint: string;
  /** The best evaluation; null where none was made, or none was to be chosen. */
  readonly best: BestCheckpoint | null;
}

/** A step whose numbers have not been looked at. */
interface Pending<B> {
  readonly step: number;
  readonly samples: number;
  readonly learningRate: number;
  readonly batches: readonly B[];
  /** Milliseconds that its batches were waited for. */
  readonly waited: number;
  /** When it was given to the device. */
  readonly launched: number;
  /** Where the generators stood before it. */
  readonly generators: GeneratorStates;
  readonly numbers: LateNumbers;
}

/**
 * Trains a model with any objective. Every step is one synchronous scope; between steps the event loop has a turn. What a step gave is read
 * one step later, so that an accelerator always has work. A step that is not finite changes nothing: it is repeated to find the first bad
 * tensor, and the run ends with a {@link NonFiniteError}.
 *
 * A run that is ended, by whatever means, and goes on from its last checkpoint has the weights, bit for bit, of one that never was: the
 * same recipe, machine and number of threads provided.
 */
export class Trainer<B, P = B> {
  readonly #options: TrainerOptions<B, P>;
  readonly #device: Device;
  readonly #generators: Generators;
  readonly #scaler: LossScaler | null;
  readonly #step: TrainingStep<B, P>;
  readonly #folder: CheckpointFolder;
  readonly #speed = new Speed();
  #done = 0;
  #samples = 0;
  #best: BestCheckpoint | null = null;
  #saved: number | null = null;
  #evaluated: number | null = null;
  /** Whether the last checkpoint does not know yet of the evaluation that followed it. */
  #stale = false;
  #pending: Pending<B> | null = null;

  /** @throws ArgumentError */
  constructor(options: TrainerOptions<B, P>) {
    checkOptions(options);
    const { model, objective, optimizer, precision = 'float32', clipNorm = null } = options;
    this.#options = options;
    this.#device = deviceOf(model);
    this.#generators = new Generators(options.generators ?? {}, this.#device);
    this.#scaler = precision === 'float16' ? new LossScaler(this.#device) : null;
    const parts = { model, objective, optimizer, precision, scaler: this.#scaler, clipNorm };
    this.#step = new TrainingStep(parts, this.#device);
    this.#folder = new CheckpointFolder(path.join(options.directory, 'checkpoints'));
  }

  /**
   * Trains to the end, and frees the optimizer's moving averages then. May be called once.
   *
   * @throws NonFiniteError; ArgumentError for a folder with another run in it; RunHeldError for one that another process trains in; FileError
   *   where it cannot be written; what data, objective and evaluation throw
   */
  async run(): Promise<TrainingResult> {
    const { data, logs = [], signal, signals = true } = this.#options;
    let interrupt: Interrupt | null = null;
    let stream: BatchStream<B> | null = null;
    let release: (() => void) | null = null;
    try {
      release = await holdRun(this.#options.directory, true);
      const state = this.#begin();
      for (const log of logs) log.open(this.#done);
      if (state !== undefined) this.#say(`going on after step ${this.#done}`);
      stream = await data(state); // may take hours, for a cache of features: until then a signal ends the process at once, as there is nothing to save
      interrupt = new Interrupt(signals, signal, (reason) => this.#say(`${reason}: stopping after this step`));
      const reason = await this.#loop(stream, interrupt);
      if (interrupt.reason !== null) {
        this.#say(
          `stopped by ${interrupt.reason} after step ${this.#done}; saved in ${this.#folder.at(this.#done)}, from where it can go on`,
        );
      }
      return { reason, step: this.#done, samples: this.#samples, checkpoint: this.#folder.at(this.#done), best: this.#best };
    } finally {
      interrupt?.close();
      this.#drop();
      await stream?.close();
      for (const log of logs) log.close();
      this.#step.dispose();
      this.#scaler?.dispose();
      this.#options.optimizer.dispose();
      trimMemory();
      release?.();
    }
  }

  /** Takes over the last checkpoint; returns where the data was, or undefined for a new run. */
  #begin() {
    const { directory, resume = false, model, optimizer, recipe = null } = this.#options;
    makeFolder(this.#folder.directory);
    this.#folder.sweep();
    model.train();
    const latest = this.#folder.latest();
    if (latest === null) return undefined;
    if (!resume) throw new ArgumentError('directory', 'a folder without a run in it, or resume', directory);
    checkRecipe(readRecipe(latest), recipe);
    const state = loadTraining(latest, model, optimizer);
    this.#generators.restore(state.generators);
    if (state.scaler !== null) this.#scaler?.restore(state.scaler);
    this.#done = this.#saved = state.step;
    this.#samples = state.samples;
    this.#best = state.best;
    this.#evaluated = state.evaluated ? state.step : null;
    return state.data;
  }

  async #loop(stream: BatchStream<B>, interrupt: Interrupt): Promise<TrainingResult['reason']> {
    const { steps, checkpoints = {} } = this.#options;
    const { every = 1000 } = checkpoints;
    let reason: TrainingResult['reason'] = 'done';
    this.#speed.start(this.#samples);
    // A run that was told to end within an evaluation makes up for it.
    if (this.#done > 0 && this.#done < steps && this.#evaluates()) await this.#evaluate(stream, interrupt.signal);
    while (this.#done < steps && interrupt.reason === null) {
      const started = performance.now();
      const batches = await this.#nextBatches(stream);
      if (batches === null) {
        reason = 'data';
        break;
      }
      const before = this.#pending;
      this.#pending = this.#launch(batches, performance.now() - started);
      if (before !== null) await this.#settle(before);
      if (this.#evaluates()) await this.#evaluate(stream, interrupt.signal);
      if (this.#done % every === 0) await this.#save(stream);
      await nextTurn();
    }
    if (interrupt.reason === null) await this.#evaluate(stream, interrupt.signal);
    if (interrupt.reason !== null) reason = interrupt.reason as TrainingResult['reason'];
    await this.#save(stream);
    return reason;
  }

  /** The batches of a step; null where there are not enough any more. */
  async #nextBatches(stream: BatchStream<B>): Promise<B[] | null> {
    const { accumulation = 1 } = this.#options;
    const batches: B[] = [];
    while (batches.length < accumulation) {
      const { value, done } = await stream.next();
      if (done) {
        for (const batch of batches) dispose(batch);
        return null;
      }
      batches.push(value as B);
    }
    return batches;
  }

  #launch(batches: readonly B[], waited: number): Pending<B> {
    const { optimizer, schedule, objective } = this.#options;
    const learningRate = schedule(this.#done);
    for (const group of optimizer.groups) group.lr = learningRate;
    const generators = this.#generators.states();
    const numbers = this.#step.run(batches);
    const samples = batches.reduce((sum, batch) => sum + objective.size(batch), 0);
    this.#done += 1;
    this.#samples += samples;
    return {
      step: this.#done,
      samples: this.#samples,
      learningRate,
      batches,
      waited,
      launched: performance.now(),
      generators,
      numbers,
    };
  }

  /** Reads what a step gave, and lets go of it. */
  async #settle(pending: Pending<B>): Promise<void> {
    const numbers = await pending.numbers.read();
    if (numbers.get(BAD) === 1) this.#fail(pending);
    for (const batch of pending.batches) dispose(batch);
    if (this.#pending === pending) this.#pending = null;
    this.#speed.add(pending.samples, pending.waited);
    const { steps, logEvery = 1, logs = [] } = this.#options;
    if (pending.step % logEvery !== 0 && pending.step !== steps) return;
    const record = this.#record(pending, numbers);
    for (const log of logs) log.step(record);
  }

  #record(pending: Pending<B>, numbers: ReadonlyMap<string, number>): StepRecord {
    const { steps } = this.#options;
    const named = (prefix: string): Record<string, number> =>
      Object.fromEntries(
        [...numbers].flatMap(([name, value]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [])),
      );
    const scale = numbers.get(LOSS_SCALE);
    const { step, samples, learningRate } = pending;
    return {
      step,
      steps,
      samples,
      losses: named('losses.'),
      statistics: named('statistics.'),
      learningRate,
      gradientNorm: numbers.get(GRADIENT_NORM) as number,
      ...(scale === undefined ? {} : { lossScale: scale }),
      ...this.#speed.look(pending.launched, steps - step),
      memory: this.#device === 'cpu' ? process.memoryUsage.rss() : deviceMemory(this.#device).peak,
    };
  }

  /** Repeats the step to find what went wrong first. */
  #fail({ step, batches, generators }: Pending<B>): never {
    this.#generators.restore(generators);
    const found = this.#step.find(batches) ?? { tensor: 'every tensor was finite when the step was repeated', foundIn: null };
    for (const batch of batches) dispose(batch);
    const error = new NonFiniteError(step, found, this.#folder.latest());
    this.#say(error.message);
    throw error;
  }

  /** Looks at the last step, too: what follows rests on it. */
  async #drain(): Promise<void> {
    if (this.#pending !== null) await this.#settle(this.#pending);
  }

  /** Whether an evaluation belongs behind the step that is done. */
  #evaluates(): boolean {
    const { evaluation, steps } = this.#options;
    return evaluation !== undefined && (this.#done % evaluation.every === 0 || this.#done === steps);
  }

  async #evaluate(stream: BatchStream<B>, signal: AbortSignal): Promise<void> {
    const { evaluation, model, logs = [] } = this.#options;
    await this.#drain();
    if (evaluation === undefined || this.#evaluated === this.#done) return;
    const started = performance.now();
    const generators = this.#generators.states();
    const modes = [...model.modules()].map((module) => [module, module.training] as const);
    model.eval();
    let metrics: Readonly<Record<string, number>>;
    try {
      metrics = await evaluation.run(this.#done, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return;
    } finally {
      for (const [module, training] of modes) module.training = training;
      this.#generators.restore(generators);
    }
    this.#evaluated = this.#done;
    this.#stale = this.#saved === this.#done;
    this.#speed.pause(performance.now() - started);
    for (const log of logs) log.evaluation(this.#done, metrics);
    if (evaluation.best !== undefined) {
      const { metric, better } = evaluation.best;
      const value = metrics[metric];
      if (value === undefined)
        throw new ArgumentError('evaluation.best.metric', `one of ${Object.keys(metrics).join(', ')}`, metric);
      const sign = better === 'higher' ? 1 : -1;
      if (Number.isFinite(value) && (this.#best === null || sign * value > sign * this.#best.value)) {
        this.#best = { step: this.#done, value };
        await this.#save(stream);
      }
    }
  }

  async #save(stream: BatchStream<B>): Promise<void> {
    await this.#drain();
    if (this.#saved === this.#done && !this.#stale) return;
    const { model, optimizer, checkpoints = {}, recipe = null } = this.#options;
    const state = {
      step: this.#done,
      samples: this.#samples,
      data: stream.state(),
      generators: this.#generators.states(),
      scaler: this.#scaler?.state() ?? null,
      best: this.#best,
      evaluated: this.#evaluated === this.#done,
      recipe,
    };
    const started = performance.now();
    const folder = this.#folder.at(this.#done);
    if (this.#stale) saveRunState(folder, model, optimizer, state);
    else saveTraining(folder, model, optimizer, state, checkpoints.whole);
    this.#saved = this.#done;
    this.#stale = false;
    this.#folder.prune(checkpoints.keepLast ?? 2, this.#best?.step ?? null);
    this.#speed.pause(performance.now() - started);
  }

  #say(text: string): void {
    for (const log of this.#options.logs ?? []) log.message(text);
  }

  /** Frees what an error left. */
  #drop(): void {
    this.#pending?.numbers.dispose();
    for (const batch of this.#pending?.batches ?? []) dispose(batch);
    this.#pending = null;
  }
}

/** Frees a batch: by its own means, or every tensor in it. */
function dispose(batch: unknown): void {
  if (typeof batch === 'object' && batch !== null && 'dispose' in batch && typeof batch.dispose === 'function') batch.dispose();
  else for (const [, tensor] of tensorsIn(batch, '')) tensor.dispose();
}
