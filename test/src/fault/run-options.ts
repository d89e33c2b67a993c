/** A number of the command line; refuses anything else by name. */
export function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name}=${text} is not usable; use a whole number`);
  return Number(text);
}
