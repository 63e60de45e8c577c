import { ArgumentError } from '../native/errors.ts';
import { type Device, type Generator, rngState, setRngState } from '../tensor/index.ts';

/** Where streams of random numbers stand, by name. */
export type GeneratorStates = Readonly<Record<string, Uint8Array>>;

/** The generators that a step draws from: those with a name, and those that operators use when they are given none (dropout does). */
export class Generators {
  readonly #named: Readonly<Record<string, Generator>>;
  readonly #devices: readonly Device[];

  constructor(named: Readonly<Record<string, Generator>>, device: Device) {
    this.#named = named;
    this.#devices = device === 'cpu' ? ['cpu'] : ['cpu', device];
    const taken = Object.keys(named).find((name) => name.startsWith('default.'));
    if (taken !== undefined) throw new ArgumentError('generators', 'names that do not begin with "default."', taken);
  }

  states(): GeneratorStates {
    const own = this.#devices.map((device) => [`default.${device}`, rngState(device)] as const);
    return Object.fromEntries([
      ...own,
      ...Object.entries(this.#named).map(([name, stream]) => [name, stream.getState()] as const),
    ]);
  }

  /** @throws ArgumentError where there is no state for one of them; nothing is changed then. */
  restore(states: GeneratorStates): void {
    const names = [...this.#devices.map((device) => `default.${device}`), ...Object.keys(this.#named)];
    const missing = names.find((name) => states[name] === undefined);
    if (missing !== undefined) throw new ArgumentError(`generators["${missing}"]`, 'a state', 'nothing');
    for (const device of this.#devices) setRngState(states[`default.${device}`] as Uint8Array, device);
    for (const [name, stream] of Object.entries(this.#named)) stream.setState(states[name] as Uint8Array);
  }
}
