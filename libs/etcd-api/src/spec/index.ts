/** What tests of other packages take from the specs of this one. */
export * from './decoders.js';
export * from './framing.js';
export * from './random.js';
export * from './random-message.js';
export * from './raw-connection.js';
