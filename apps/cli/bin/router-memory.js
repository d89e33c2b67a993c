// How Node runs a router in little memory. Measured with 200 000 objects of 1.5 kB loaded and listed in pages: see
// docs/measurements.md. The router itself asks for the smaller heap growth; the rest can only be said from outside.

/** A young generation of this size holds what a few hundred requests leave behind; the default grows to 100 MB. */
export const ROUTER_NODE_FLAGS = ['--max-semi-space-size=16'];

/**
 * glibc's: fewer arenas, and what is freed in large pieces goes back to the system at once. Just not pieces of 64 KiB: Node asks for one at
 * each read of a socket, and a map and an unmap for each cost 15 of 110 microseconds of a create.
 */
export const ROUTER_ENV = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '69632' };
