/** Everything that follows without waiting for a clock or for anything outside has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
