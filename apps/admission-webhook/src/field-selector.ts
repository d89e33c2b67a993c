/** Field selectors, as Kubernetes reads them: `a=b,c!=d`; a backslash before a comma, an equals sign or a backslash takes its meaning away. */

/** What is wrong with a selector; null: nothing is. Which fields a kind has to select by only the API server knows. */
export function fieldSelectorProblem(text: string): string | null {
  // At the commas before which there is an even number of backslashes.
  for (const term of text.split(/(?<=(?<!\\)(?:\\\\)*),/)) {
    const problem = termProblem(term);
    if (problem !== null) return problem;
  }
  return null;
}

function termProblem(term: string): string | null {
  if (term === '') return null;
  const [, field, value] = /^(.*?)(?:!=|==|=)(.*)$/su.exec(term) ?? [];
  if (field === undefined || value === undefined) return `"${term}" compares nothing: write FIELD=VALUE or FIELD!=VALUE`;
  if (!/^[A-Za-z][A-Za-z0-9_.-]*$/.test(field)) return `"${field}" is no path of a field, such as metadata.name`;
  if (!/^(?:[^\\,=]|\\[\\,=])*$/u.test(value))
    return `"${value}" has a sign of its own meaning: write \\= for =, \\, for a comma and \\\\ for a backslash`;
  return null;
}
