import type { Mutation } from './mutation.js';

export interface Mutant {
  readonly name: string;
  readonly mutations: readonly Mutation[];
}

export const MUTANTS: readonly Mutant[] = [];

export function mutationsOf(names: readonly string[]): Mutation[] {
  return names.flatMap((name) => {
    const mutant = MUTANTS.find((each) => each.name === name);
    if (mutant === undefined) throw new Error(`there is no mutant ${name}: take one of ${MUTANTS.map((each) => each.name).join(', ')}`);
    return mutant.mutations;
  });
}
