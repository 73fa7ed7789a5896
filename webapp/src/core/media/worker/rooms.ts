/** Rooms on top of the link: tracks published and subscribed, again after each loss; voice in and out. */

import type { PeerTrack, ReplayState, RoomMedia, TrackState } from "../api.ts";
import type { CaptureOrder, CapturedFrame, PlayoutOrder, PlayoutReturn, WorkerPeerStats } from "../messages.ts";
import type { Lines } from "../wasm/lines.ts";
import { Kind, type Offer, type Record } from "../wasm/session.ts";
import { Buffers } from "./buffers.ts";
import { Decoder } from "./decoder.ts";
import { Encoder, type Packet } from "./encoder.ts";
import type { MoqSession } from "./moq-session.ts";
import { Player } from "./player.ts";
import { REPLAY_SECONDS_MAX, Seconds } from "./replay.ts";
import {
	catalog,
	catalogOffer,
	type Hold,
	type More,
	type Peer,
	peerOffer,
	publishes,
	RENDEZVOUS_MS,
	type Room,
	sameOffer,
	Track,
	type Voice,
	voiceOffer,
} from "./tracks.ts";

/** Rooms at a time: a call, others on hold, a conference. */
const ROOMS_MAX = 16;
const PEERS_MAX = 31;
/** The catalog comes again for those who joined late. */
const CATALOG_MS = 5_000;
/** Live sound while something is heard again: 18 dB softer, so that one hears that there is some. */
const SOFT = 0.125;
/** Who has lost a seat is heard to the end of what came: longer than any jitter buffer. */
const TAIL_MS = 500;
/** Groups that may be overtaken by newer ones; more means that a seat's numbers began anew. */
const LATE_GROUPS = 16n;
/** Packets whose time on the way is remembered. */
const TIMES_MAX = 64;

export interface RoomsOwner {
	publishing(room: string, state: TrackState, detail: string): void;
	peer(room: string, participant: string, state: TrackState, detail: string): void;
	codecFailed(detail: string): void;
	replay(room: string, state: ReplayState): void;
	/** Every track is on the newest session as it was on the one before. */
	settled(session: MoqSession): void;
	/** A packet of somebody's voice came that begins at `at` of the speaker's own clock, 1/48000 s. */
	heard(room: string, participant: string, at: number): void;
}

/** A track, and whose it is. */
type Subject =
	| { readonly kind: "voice" | "catalog"; readonly room: Room; readonly track: Track }
	| { readonly kind: "peer"; readonly room: Room; readonly peer: Peer; readonly track: Track };

/** What was said in a room, being heard again. */
interface Replay {
	readonly room: Room;
	readonly player: Player;
	readonly session: MoqSession;
	readonly key: number;
	playing: boolean;
}

/** What a number stands for. */
interface Entry {
	readonly subject: Subject;
	readonly hold: Hold;
}

export class Rooms {
	readonly #owner: RoomsOwner;
	readonly #rooms = new Map<string, Room>();
	readonly #entries = new Map<number, Entry>();
	readonly #encoder: Encoder;
	readonly #buffers = new Buffers();
	/** What the catalogs of rooms list besides the voice. */
	readonly #more = new Map<string, More>();
	readonly #times: number[] = [];
	/** Sessions that stand, the newest last: two while we move. */
	#sessions: MoqSession[] = [];
	#lines: Lines | null = null;
	#replay: Replay | null = null;
	#capture: MessagePort | null = null;
	#playout: MessagePort | null = null;
	#gates = "";
	#sent = 0;
	/** Dropped here, and by sessions that are gone. */
	#dropped = 0;
	#nextKey = 1;
	#nextPeer = 1;

	constructor(owner: RoomsOwner) {
		this.#owner = owner;
		this.#encoder = new Encoder(
			(packet) => this.#packet(packet),
			(detail) => owner.codecFailed(detail),
		);
		void this.#encoder.start();
		setInterval(() => this.#sendCatalogs(), CATALOG_MS);
	}

	get sent(): number {
		return this.#sent;
	}

	/** Packets given up because the way out was full. */
	get dropped(): number {
		return this.#sessions.reduce((sum, session) => sum + session.dropped, this.#dropped);
	}

	get encoderRestarts(): number {
		return this.#encoder.restarts;
	}

	/** Median ms from a frame's arrival here to its packet's leaving. */
	get captureToSendMs(): number | null {
		const sorted = this.#times.toSorted((a, b) => a - b);
		return sorted[sorted.length >> 1] ?? null;
	}

	/** A track that the session has, to be asked for a sign of life. */
	pingKey(session: MoqSession): number | null {
		for (const [key, { hold }] of this.#entries) if (hold.session === session) return key;
		return null;
	}

	/** What says where sound belongs; it comes with the session's module. */
	setLines(lines: Lines): void {
		this.#lines = lines;
	}

	setCapture(port: MessagePort): void {
		this.#capture = port;
		port.onmessage = ({ data }: MessageEvent<CapturedFrame>) => this.#captured(data);
		this.#gates = "";
		this.#gate();
	}

	setPlayout(port: MessagePort): void {
		this.#playout = port;
		port.onmessage = ({ data }: MessageEvent<PlayoutReturn>) => this.#buffers.give(data.pcm);
		for (const room of this.#rooms.values()) {
			for (const peer of room.peers.values()) if (!room.held) this.#hear(room, peer);
		}
	}

	join(media: RoomMedia): void {
		const room = this.#rooms.get(media.room);
		if (room !== undefined) {
			this.#rejoin(room, media);
			return;
		}
		if (this.#rooms.size >= ROOMS_MAX) {
			this.#owner.publishing(media.room, "refused", `more than ${ROOMS_MAX} rooms`);
			return;
		}
		const joined: Room = {
			media,
			voice: new Track(voiceOffer(media)),
			catalog: new Track(catalogOffer(media)),
			peers: new Map(),
			gains: new Map(),
			muted: false,
			held: false,
		};
		this.#rooms.set(media.room, joined);
		this.#offer(joined);
		for (const peer of media.peers) this.addPeer(media.room, peer);
		this.#gate();
	}

	addPeer(name: string, track: PeerTrack): void {
		const room = this.#rooms.get(name);
		if (room === undefined) return;
		const offer = peerOffer(room.media, track);
		const known = room.peers.get(track.participant);
		if (known !== undefined && sameOffer(known.track.offer, offer)) return;
		if (known !== undefined) this.removePeer(name, track.participant);
		if (room.peers.size >= PEERS_MAX) {
			this.#owner.peer(name, track.participant, "refused", `more than ${PEERS_MAX} peers`);
			return;
		}
		const peer = this.#makePeer(room, track.participant, offer);
		room.peers.set(track.participant, peer);
		if (!room.held) this.#hear(room, peer);
		this.#request({ kind: "peer", room, peer, track: peer.track });
	}

	removePeer(name: string, participant: string): void {
		const room = this.#rooms.get(name);
		const peer = room?.peers.get(participant);
		if (room === undefined || peer === undefined) return;
		room.peers.delete(participant);
		this.#endTrack(peer.track);
		this.#silence(peer.voice);
	}

	/** The catalog of a room lists other tracks of ours, too; before or after it is joined. Null: no longer. */
	extendCatalog(name: string, more: More | null): void {
		if (more === null) this.#more.delete(name);
		else if (this.#more.has(name) || this.#more.size < ROOMS_MAX) this.#more.set(name, more);
		const room = this.#rooms.get(name);
		if (room !== undefined) this.#sendCatalog(room);
	}

	leave(name: string): void {
		const room = this.#rooms.get(name);
		if (room === undefined) return;
		if (this.#replay?.room === room) this.stopReplay();
		for (const participant of [...room.peers.keys()]) this.removePeer(name, participant);
		this.#endTrack(room.voice);
		this.#endTrack(room.catalog);
		this.#rooms.delete(name);
		this.#gate();
	}

	/** Plays the last seconds of whoever was heard last, once more. */
	replay(name: string, seconds: number): void {
		this.stopReplay();
		const room = this.#rooms.get(name);
		const peer = [...(room?.peers.values() ?? [])].toSorted((a, b) => a.heardAt - b.heardAt).at(-1);
		const hold = peer?.track.holds.findLast(({ live }) => live);
		const range = peer?.seconds.last(Math.min(REPLAY_SECONDS_MAX, Math.max(1, Math.round(seconds))));
		const lines = this.#lines;
		if (room === undefined || peer === undefined || hold === undefined || range == null || lines === null) {
			this.#owner.replay(name, { name: "failed", reason: "nothing" });
			return;
		}
		const [id, key] = [this.#nextPeer++, this.#nextKey++];
		const player = new Player({
			id,
			lines,
			buffers: this.#buffers,
			play: (id, at, pcm) => this.#play({ type: "play", id, at, pcm }, [pcm.buffer]),
			state: (state) => this.#replayed(state),
		});
		this.#replay = { room, player, session: hold.session, key, playing: false };
		this.#owner.replay(name, { name: "asking" });
		this.#play({ type: "add", id, room: name, participant: `${peer.voice.participant} before` });
		if (!hold.session.fetch(key, hold.key, range.from, range.last)) player.refused();
	}

	/** Back to live sound alone. */
	stopReplay(): void {
		this.#replay?.player.stop();
	}

	leaveAll(): void {
		for (const name of [...this.#rooms.keys()]) this.leave(name);
	}

	setMuted(name: string, muted: boolean): void {
		const room = this.#rooms.get(name);
		if (room === undefined) return;
		room.muted = muted;
		this.#gate();
	}

	/** Plays a participant louder or softer, whatever carries its voice. */
	setGain(name: string, participant: string, gain: number): void {
		const room = this.#rooms.get(name);
		if (room === undefined) return;
		if (gain === 1) room.gains.delete(participant);
		else if (room.gains.size < PEERS_MAX || room.gains.has(participant)) room.gains.set(participant, gain);
		for (const { voice } of room.peers.values()) if (voice.participant === participant) this.#weigh(room, voice);
	}

	setHeld(name: string, held: boolean): void {
		const room = this.#rooms.get(name);
		if (room === undefined || room.held === held) return;
		room.held = held;
		if (held && this.#replay?.room === room) this.stopReplay();
		for (const peer of room.peers.values()) {
			if (held) this.#play({ type: "remove", id: peer.voice.id });
			else this.#hear(room, peer);
		}
		this.#gate();
	}

	/** A session stands: everything goes there, too. */
	use(session: MoqSession): void {
		this.#sessions.push(session);
		for (const subject of this.#subjects()) this.#request(subject);
		this.#gate();
		this.#checkSettled();
	}

	/** A session is not to be used any more. */
	drop(session: MoqSession): void {
		this.#sessions = this.#sessions.filter((other) => other !== session);
		this.#dropped += session.dropped;
		for (const [key, { subject, hold }] of this.#entries) {
			if (hold.session !== session) continue;
			this.#entries.delete(key);
			this.#release(subject, hold, "");
		}
		if (this.#replay?.session === session) this.#replay.player.refused();
		// What the newest one had refused, the one that is gone may have had.
		for (const subject of this.#subjects()) this.#request(subject);
		this.#gate();
	}

	/** Takes what a session says of a track. */
	record(record: Record): void {
		if (record.id === this.#replay?.key) {
			this.#past(this.#replay.player, record);
			return;
		}
		const entry = this.#entries.get(record.id);
		if (entry === undefined) return;
		const { subject, hold } = entry;
		switch (record.kind) {
			case Kind.Live:
				subject.track.accepted(hold);
				this.#tell(subject, "");
				if (subject.kind === "catalog") this.#sendCatalog(subject.room);
				this.#checkSettled();
				return;
			case Kind.Refused:
				this.#entries.delete(record.id);
				this.#refused(subject, hold, record);
				return;
			case Kind.Ended:
				this.#entries.delete(record.id);
				this.#ended(subject, hold, record);
				return;
			case Kind.NewGroup:
				// Somebody came who has not seen it.
				if (subject.kind === "catalog") this.#sendCatalog(subject.room);
				return;
			case Kind.Packet:
				if (subject.kind === "peer") this.#packetOf(subject.peer, subject.room, record);
		}
	}

	stats(): WorkerPeerStats[] {
		const all: WorkerPeerStats[] = [];
		for (const [name, room] of this.#rooms) {
			for (const { track, voice, received, lost } of room.peers.values()) {
				const counts = this.#lines?.counts(voice.id);
				all.push({
					room: name,
					participant: voice.participant,
					state: track.state,
					received: received + (counts?.received ?? 0),
					lost: lost + (counts?.lost ?? 0),
					decoderRestarts: voice.decoder.restarts,
				});
			}
		}
		return all;
	}

	#rejoin(room: Room, media: RoomMedia): void {
		const published = publishes(room);
		room.media = media;
		if (published !== publishes(room)) this.#turn(room);
		if (!sameOffer(room.voice.offer, voiceOffer(media))) {
			const { voice, catalog } = room;
			this.#endTrack(voice);
			this.#endTrack(catalog);
			room.voice = new Track(voiceOffer(media));
			room.voice.follow(voice);
			room.catalog = new Track(catalogOffer(media));
			room.catalog.follow(catalog);
			this.#offer(room);
		}
		const wanted = new Set(media.peers.map((peer) => peer.participant));
		for (const participant of [...room.peers.keys()]) {
			if (!wanted.has(participant)) this.removePeer(media.room, participant);
		}
		for (const peer of media.peers) this.addPeer(media.room, peer);
	}

	/** Publishes what is ours, if the room takes it. */
	#offer(room: Room): void {
		if (!publishes(room)) return;
		this.#request({ kind: "voice", room, track: room.voice });
		this.#request({ kind: "catalog", room, track: room.catalog });
	}

	/** We may speak now, or may not any more. */
	#turn(room: Room): void {
		const { voice, catalog } = room;
		this.#endTrack(voice);
		this.#endTrack(catalog);
		room.voice = new Track(voice.offer);
		room.voice.follow(voice);
		room.catalog = new Track(catalog.offer);
		room.catalog.follow(catalog);
		this.#offer(room);
		this.#gate();
	}

	#makePeer(room: Room, participant: string, offer: Offer): Peer {
		const voice = this.#makeVoice(room, participant);
		return { participant, voice, since: 0n, track: new Track(offer), received: 0, lost: 0, seconds: new Seconds(), heardAt: 0 };
	}

	#makeVoice(room: Room, participant: string): Voice {
		const id = this.#nextPeer++;
		const own = participant === room.media.participant;
		const decoder = new Decoder(
			(samples) => this.#buffers.take(samples),
			(pcm, at) => this.#play({ type: "play", id, at, pcm }, [pcm.buffer]),
			(detail) => {
				this.#owner.peer(room.media.room, participant, "refused", detail);
				this.#owner.codecFailed(detail);
			},
		);
		return { participant, id, decoder, own, end: 0 };
	}

	/** Tells the playout worklet of a peer. */
	#hear(room: Room, { voice }: Peer): void {
		if (voice.own) return;
		this.#play({ type: "add", id: voice.id, room: room.media.room, participant: voice.participant });
		this.#weigh(room, voice);
	}

	/** Plays a voice as loud as it should be now. */
	#weigh(room: Room, { id, participant }: Voice): void {
		const soft = this.#replay?.room === room && this.#replay.playing ? SOFT : 1;
		this.#play({ type: "gain", id, gain: soft * (room.gains.get(participant) ?? 1) });
	}

	/** Another participant has the seat: a new time line, a new decoder; what came before is played to its end. */
	#takeSeat(room: Room, peer: Peer, participant: string): void {
		const { voice } = peer;
		const { received, lost } = this.#lines?.counts(voice.id) ?? { received: 0, lost: 0 };
		peer.received += received;
		peer.lost += lost;
		this.#play({ type: "pause", id: voice.id, at: voice.end });
		setTimeout(() => this.#silence(voice), TAIL_MS);
		peer.voice = this.#makeVoice(room, participant);
		if (!room.held) this.#hear(room, peer);
	}

	#silence(voice: Voice): void {
		voice.decoder.close();
		this.#lines?.end(voice.id);
		this.#play({ type: "remove", id: voice.id });
	}

	#play(order: PlayoutOrder, transfer: Transferable[] = []): void {
		this.#playout?.postMessage(order, transfer);
	}

	*#subjects(): Generator<Subject> {
		for (const room of this.#rooms.values()) {
			if (publishes(room)) {
				yield { kind: "voice", room, track: room.voice };
				yield { kind: "catalog", room, track: room.catalog };
			}
			for (const peer of room.peers.values()) yield { kind: "peer", room, peer, track: peer.track };
		}
	}

	/** Publishes or subscribes on the newest session, unless that is done. */
	#request(subject: Subject): void {
		const { track } = subject;
		const session = this.#sessions.at(-1);
		if (session === undefined || track.on(session) !== undefined || track.state === "refused") return;
		clearTimeout(track.retry);
		const key = this.#nextKey++;
		const hold: Hold = { session, key, live: false };
		track.holds.push(hold);
		this.#entries.set(key, { subject, hold });
		const asked =
			subject.kind === "peer"
				? session.subscribe(key, track.offer, RENDEZVOUS_MS)
				: session.publish(key, track.offer, subject.kind);
		if (!asked) {
			this.#entries.delete(key);
			track.release(hold);
			this.#again(subject, track.refused(EXCESSIVE_LOAD, -1));
		}
		this.#tell(subject, "");
	}

	#refused(subject: Subject, hold: Hold, { code, at, bytes }: Record): void {
		this.#release(subject, hold, null);
		this.#again(subject, subject.track.refused(code, at));
		this.#tell(subject, `${code.toString(16)} ${new TextDecoder().decode(bytes)}`.trim());
		this.#checkSettled();
	}

	/**
	 * A track that was live is over: its publisher went away, or comes back in a moment. On an older
	 * session it is over because the newer one has it.
	 */
	#ended(subject: Subject, hold: Hold, { bytes }: Record): void {
		const { track } = subject;
		const newest = hold.session === this.#sessions.at(-1);
		this.#release(subject, hold, null);
		if (!newest) return;
		const wait = track.refused(EXCESSIVE_LOAD, -1);
		if (track.holds.length === 0) track.state = "ended";
		this.#tell(subject, new TextDecoder().decode(bytes));
		this.#again(subject, wait);
	}

	/** A session has a track no more; `detail` null: more is said in a moment. */
	#release(subject: Subject, hold: Hold, detail: string | null): void {
		const { track } = subject;
		const before = track.state;
		track.release(hold);
		if (track.holds.length === 0) clearTimeout(track.retry);
		if (track.state !== before && detail !== null) this.#tell(subject, detail);
	}

	#again(subject: Subject, waitMs: number | null): void {
		const { track } = subject;
		clearTimeout(track.retry);
		if (waitMs === null) return;
		track.retry = setTimeout(() => this.#request(subject), waitMs);
	}

	#tell({ kind, room, track, ...rest }: Subject, detail: string): void {
		const name = room.media.room;
		if ("peer" in rest) this.#owner.peer(name, rest.peer.participant, track.state, detail);
		if (kind === "voice") this.#owner.publishing(name, track.state, detail);
	}

	#endTrack(track: Track): void {
		clearTimeout(track.retry);
		for (const hold of track.holds) {
			this.#entries.delete(hold.key);
			hold.session.endTrack(hold.key);
		}
		track.holds = [];
	}

	/** Says so once the newest session has every track that an older one has. */
	#checkSettled(): void {
		const newest = this.#sessions.at(-1);
		if (newest === undefined) return;
		for (const { track } of this.#subjects()) {
			if (track.on(newest)?.live !== true && track.holds.some(({ live }) => live)) return;
		}
		this.#owner.settled(newest);
	}

	#sendCatalogs(): void {
		for (const room of this.#rooms.values()) this.#sendCatalog(room);
	}

	#sendCatalog({ media, catalog: track }: Room): void {
		const hold = track.holds.at(-1);
		if (hold?.live !== true) return;
		const text = new TextEncoder().encode(catalog(this.#more.get(media.room)));
		if (hold.session.sendSingle(hold.key, track.next.group, text)) track.advanceGroup();
	}

	/** Asks the capture worklet for frames only while somebody gets them. */
	#gate(): void {
		const speaking = this.#speaking().length > 0;
		const on = this.#sessions.length > 0 && speaking;
		const hint = !speaking && [...this.#rooms.values()].some((room) => room.muted && !room.held && publishes(room));
		const gates = `${on} ${hint}`;
		if (gates === this.#gates || this.#capture === null) return;
		this.#gates = gates;
		this.#order({ type: "sending", on, hint });
	}

	#speaking(): Room[] {
		return [...this.#rooms.values()].filter((room) => !room.muted && !room.held && publishes(room));
	}

	#order(order: CaptureOrder, transfer: Transferable[] = []): void {
		this.#capture?.postMessage(order, transfer);
	}

	#captured(frame: CapturedFrame): void {
		this.#encoder.encode(frame);
		this.#order({ type: "used", pcm: frame.pcm }, [frame.pcm.buffer]);
	}

	/** Ours goes out on every session that has the track: whoever hears one of them has no gap. */
	#packet({ bytes, at, level, since }: Packet): void {
		if (this.#sessions.length === 0) return;
		for (const { voice } of this.#speaking()) {
			let sent = false;
			for (const { session, key } of voice.holds) {
				if (session.isCongested) this.#dropped++;
				else sent = session.sendVoice(key, voice.next, at, level, bytes) || sent;
			}
			if (!sent) continue;
			voice.advance();
			this.#sent++;
		}
		if (this.#times.length >= TIMES_MAX) this.#times.shift();
		this.#times.push(performance.now() - since);
	}

	/** What the session says of a replay. */
	#past(player: Player, record: Record): void {
		switch (record.kind) {
			case Kind.Packet:
				// What is silent takes its time by the next packet's place.
				if (record.bytes.length > 0) player.packet(record);
				return;
			case Kind.Refused:
				player.refused();
				return;
			case Kind.Ended:
				if (record.code === 0) player.complete();
				else player.refused();
		}
	}

	/** A replay begins to sound, or is over. */
	#replayed(state: ReplayState): void {
		const replay = this.#replay;
		if (replay === null) return;
		const { room, player, session, key } = replay;
		const playing = state.name === "playing";
		replay.playing = playing;
		for (const { voice } of room.peers.values()) this.#weigh(room, voice);
		if (!playing) {
			this.#replay = null;
			this.#play({ type: "remove", id: player.id });
			session.endTrack(key);
		}
		this.#owner.replay(room.media.room, state);
	}

	#packetOf(peer: Peer, room: Room, record: Record): void {
		const holder = room.media.seats === true && record.participant > 0 ? `p${record.participant}` : peer.voice.participant;
		if (holder !== peer.voice.participant) {
			// What comes late of the one before must not take the seat back.
			if (record.group < peer.since && peer.since - record.group <= LATE_GROUPS) return;
			this.#takeSeat(room, peer, holder);
			peer.since = record.group;
		}
		const { voice } = peer;
		const at = this.#lines?.place(voice.id, record) ?? null;
		if (at === null) return;
		voice.end = Math.max(voice.end, at + record.ticks);
		peer.seconds.heard(record);
		peer.heardAt = performance.now();
		if (record.bytes.length > 0 && record.at >= 0) this.#owner.heard(room.media.room, voice.participant, record.at);
		if (room.held || voice.own || this.#playout === null) return;
		if (record.bytes.length === 0) this.#play({ type: "pause", id: voice.id, at });
		else voice.decoder.decode(record.bytes, at);
	}
}

/** REQUEST_ERROR, EXCESSIVE_LOAD: stands for refusals of our own. */
const EXCESSIVE_LOAD = 0x9;
