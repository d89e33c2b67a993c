/** What databases of a router under check may be. A router to be mutated loads this before its hooks are there: it imports nothing. */
export const CHECKED_ENGINES = ['sqlite', 'postgres', 'mariadb', 'etcd'] as const;

export type CheckedEngine = (typeof CHECKED_ENGINES)[number];

/** What is checked unless other engines are asked for. */
export const THREE_FILES: readonly CheckedEngine[] = ['sqlite', 'sqlite', 'sqlite'];
