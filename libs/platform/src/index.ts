export * from './go-duration.js';
export * from './nearest.js';
