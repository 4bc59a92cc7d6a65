import { AdakitError, type Device, type MaybePromise } from '@adakit/core';

/** A device that may be there, for checks that take what there is. */
export interface DeviceOffer {
  /** As messages and reports call it: `tfjs/cpu op by op`. */
  readonly name: string;
  /**
   * Whether it gives the bits of the interpreter in float32. What others give is held to the bounds of the rule's
   * operations.
   */
  readonly exact: boolean;
  /** Whether it keeps subnormal numbers, rather than to flush them to zero. Default: it does. */
  readonly subnormals?: boolean;
  /** @throws DeviceUnavailable where it is not installed, or does not start here */
  readonly start: () => Promise<StartedDevice>;
}

/** A device at work. */
export interface StartedDevice {
  readonly device: Device<unknown>;
  /** Frees what it holds beyond buffers. */
  readonly release?: () => MaybePromise<void>;
}

/** A device that cannot be tried here; the message says why, and what to install. */
export class DeviceUnavailable extends AdakitError<'device-unavailable'> {
  override readonly name = 'DeviceUnavailable';

  constructor(message: string, options?: ErrorOptions) {
    super('device-unavailable', message, options);
  }
}

/** Whether a device has been tried. */
export interface TriedDevice {
  readonly name: string;
  /** Why it has not: `not installed: npm install …`. */
  readonly missing?: string;
}

/** Those of the offers that start here, and what became of each. */
export async function tryDevices(
  offers: readonly DeviceOffer[],
): Promise<{ readonly available: readonly DeviceOffer[]; readonly tried: readonly TriedDevice[] }> {
  const available: DeviceOffer[] = [];
  const tried: TriedDevice[] = [];
  for (const offer of offers) {
    const { name } = offer;
    try {
      await (await offer.start()).release?.();
      available.push(offer);
      tried.push({ name });
    } catch (error) {
      if (!(error instanceof DeviceUnavailable)) throw error;
      tried.push({ name, missing: error.message });
    }
  }
  return { available, tried };
}
