#!/usr/bin/env node
import { run } from './run';

// A reader of our output that goes away (`moshi serve 2>&1 | head`) must not end the conversations of others.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

void run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
  // Output is flushed by now in all but the slowest pipes; whatever still holds the process open has nothing more to say.
  setTimeout(() => process.exit(), 2000).unref();
});
