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

/**
 * An answer as it is compared. For a case with sprig one name stands for all of Go's integers: what its functions put into lists and maps, and what
 * most of them return, is of one type here.
 */
export function comparable({ output, error }: Answer, { functions }: TemplateCase): Answer {
  const compared = (text: string): string => (functions === 'sprig' ? text.replace(/(?<![a-z])u?int8?(?![a-z0-9])/g, 'int64') : text);
  return output === undefined ? { error: compared(error) } : { output: compared(output) };
}
