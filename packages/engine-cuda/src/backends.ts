import { hasKernels } from './native';

/** Kinds of devices that models run on. */
export type Backend = 'cpu' | 'cuda';

/** Of what the native part runs on, what this build can: a GPU needs kernels, which a build without their compiler lacks. */
export function runnable(native: readonly Backend[], kernels = hasKernels): readonly Backend[] {
  return native.filter((kind) => kind !== 'cuda' || kernels());
}
