export * from './env.js';
export * from './flags.js';
export * from './go-duration.js';
export * from './logger.js';
export * from './nearest.js';
