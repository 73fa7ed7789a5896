// All that is done, in order.
import { ariCut, asteriskKilled, soundCut } from './cuts.mjs';
import { hangups } from './hangups.mjs';
import { badPeers } from './peers.mjs';

/** `run(world, { count, seed })` returns in words what was found, and throws when it was not as it should be. */
export const RUNS = [
  { name: 'peers', what: 'AudioSocket peers that misbehave harm their own call at most', run: badPeers },
  { name: 'hangups', what: 'calls that are hung up at random moments leave nothing behind', run: hangups },
  { name: 'ari', what: 'without ARI calls go on, and all is in order when it is back', run: ariCut },
  { name: 'sound', what: 'a call whose sound is lost ends on both sides', run: soundCut },
  { name: 'killed', what: 'an Asterisk that dies ends its calls, and its successor takes new ones', run: asteriskKilled },
];
