import { transferable } from '../native/error-transfer.ts';
import { Blip2Error } from '../native/errors.ts';

/**
 * A model of the Hub cannot be had; the message says what to do. `code` is `ERR_HUB_OFFLINE` (no network, or told to do without), `ERR_HUB_ACCESS`
 * (gated, private, or no such repository), `ERR_HUB_ABSENT` (no such repository, revision or file) or `ERR_HUB` (anything else, such as an answer that
 * is not as expected).
 */
export class HubError extends Blip2Error {
  override readonly name: string = 'HubError';
  /** The repository, `owner/name`. */
  readonly repository: string;
  /** The status of the Hub's answer; undefined where there was none. */
  readonly status: number | undefined;

  /** @internal */
  constructor(
    code: string,
    repository: string,
    problem: string,
    { status, cause }: { status?: number | undefined; cause?: unknown } = {},
  ) {
    super(code, `${repository}: ${problem}`, cause === undefined ? undefined : { cause });
    this.repository = repository;
    this.status = status;
  }
}

transferable(HubError);
