import { describe, expect, it } from 'vitest';
import { MetricsRecorder } from '../src/metrics';

function recorder() {
  let now = 1000;
  const metrics = new MetricsRecorder(() => now);
  return {
    metrics,
    at(ms: number) {
      now = 1000 + ms;
      return metrics;
    },
    snapshot: () => metrics.snapshot(0, 0),
  };
}

describe('MetricsRecorder', () => {
  it('starts with nothing known', () => {
    expect(recorder().snapshot()).toMatchObject({ roundTripMs: null, timeToFirstAudioMs: null, missedAudioSeconds: 0 });
  });

  it('averages microphone time minus reply time with β 0.85', () => {
    const { metrics, snapshot } = recorder();
    metrics.audioSent(4800); // 200 ms
    metrics.audioReceived(1920); // 80 ms: 120 ms unanswered
    expect(snapshot().roundTripMs).toBeCloseTo(120);
    metrics.audioReceived(1920); // 40 ms unanswered
    expect(snapshot().roundTripMs).toBeCloseTo(0.85 * 120 + 0.15 * 40);
  });

  it('starts the round trip anew after the server dropped its input', () => {
    const { metrics, snapshot } = recorder();
    metrics.audioSent(48_000);
    metrics.audioReceived(1920);
    metrics.resync();
    expect(snapshot().roundTripMs).toBeNull();
    metrics.audioSent(1920);
    metrics.audioReceived(960);
    expect(snapshot().roundTripMs).toBeCloseTo(40);
  });

  it('takes the time to first audio from the first audio sent', () => {
    const { at, snapshot } = recorder();
    at(500).audioSent(960);
    at(700).audioSent(960);
    at(740).audioReceived(1920);
    at(900).audioReceived(1920);
    expect(snapshot().timeToFirstAudioMs).toBeCloseTo(240);
  });

  it('counts what a listener without a buffer would miss', () => {
    const { at, snapshot } = recorder();
    at(0).audioReceived(1920); // plays to 80
    at(60).audioReceived(1920); // plays to 160
    expect(snapshot().missedAudioSeconds).toBe(0);
    at(200).audioReceived(1920); // 40 ms late
    expect(snapshot().missedAudioSeconds).toBeCloseTo(0.04);
  });

  it('counts messages by kind, seconds and drops', () => {
    const { metrics } = recorder();
    for (const type of ['audio', 'text', 'coloredText', 'metadata', 'audio']) metrics.messageReceived(type);
    metrics.messageSent();
    metrics.audioSent(24_000);
    metrics.audioReceived(12_000);
    expect(metrics.dropped(40)).toBe(40);
    expect(metrics.dropped(40)).toBe(80);
    expect(metrics.snapshot(30, 2)).toMatchObject({
      messagesReceived: 5,
      audioMessages: 2,
      textMessages: 2,
      messagesSent: 1,
      audioSentSeconds: 1,
      audioReceivedSeconds: 0.5,
      droppedSeconds: 0.08,
      bufferedMs: 30,
      lostPackets: 2,
    });
  });
});
