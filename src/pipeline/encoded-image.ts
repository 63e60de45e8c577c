import type { ImageSource } from '../data/index.ts';
import { ArgumentError } from '../native/errors.ts';
import type { ModelCalls } from './calls.ts';

/**
 * A picture that a {@link Blip2} has encoded: it can be given to calls of this model in the picture's place, so that it goes through the vision
 * tower once however often it is asked about. The model holds it, Q · E numbers, until it is disposed of or the model is closed.
 */
export class EncodedImage {
  readonly #worker: ModelCalls;
  /** @internal Its number there. */
  readonly id: number;
  #disposed = false;

  /** @internal */
  constructor(worker: ModelCalls, id: number) {
    this.#worker = worker;
    this.id = id;
  }

  /**
   * @internal What stands for it in a request.
   * @throws ArgumentError for one of another model, or one that has been disposed of
   */
  request(worker: ModelCalls): HeldImage {
    const expected = 'pictures, or what this model has encoded and still holds';
    if (this.#disposed) throw new ArgumentError('images', expected, 'one that has been disposed of');
    if (this.#worker !== worker) throw new ArgumentError('images', expected, "another model's");
    return { held: this.id };
  }

  /** Lets the model forget it, once the calls that were made with it are done. Doing it twice is harmless. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#worker.call('release', this.id).catch(() => {}); // a closed model has forgotten it already
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A picture for a {@link Blip2}: a file's path or `file:` URL, the bytes of a file, pixels, or what the model has encoded. */
export type ImageInput = ImageSource | EncodedImage;

/** A picture that the worker holds, by its number. */
export interface HeldImage {
  held: number;
}

/** A picture as the worker is sent it. */
export type SentImage = ImageSource | HeldImage;

export const isHeld = (image: SentImage): image is HeldImage => typeof image === 'object' && 'held' in image;
