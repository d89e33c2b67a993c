import { Template } from '@harikube/go-template';

/** A template and what it is executed on. */
export interface TemplateCase {
  readonly template: string;
  readonly data?: unknown;
  /** Go's own alone, unless it says `sprig`. */
  readonly functions?: 'go' | 'sprig';
}

export type Answer = { readonly output: string; readonly error?: undefined } | { readonly error: string; readonly output?: undefined };

/** Our answer to a case. */
export function ownAnswer({ template, data = null, functions = 'go' }: TemplateCase): Answer {
  try {
    return { output: Template.parse(template, { name: 't', functions }).execute(data) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { error: error.message };
  }
}

/** An answer in which one name stands for what is one type here and several in Go: its integers. */
export function comparable({ output, error }: Answer): Answer {
  const compared = (text: string): string => text.replace(/(?<![a-z])u?int8?(?![a-z0-9])/g, 'int64');
  return output === undefined ? { error: compared(error) } : { output: compared(output) };
}
