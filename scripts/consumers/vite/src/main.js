import { connect } from '@moshi/client';
import { talk } from '../talk.mjs';

talk(connect, location.href.replace(/^http/, 'ws')).then(
  ({ seconds }) => (document.title = `heard ${seconds} s`),
  (error) => (document.title = `failed: ${error.stack}`),
);
