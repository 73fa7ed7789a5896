/** Rooms on top of the link: tracks published and subscribed, again after each loss; voice in and out. */

import type { PeerTrack, RoomMedia, TrackState } from "../api.ts";
import type { CaptureOrder, CapturedFrame, PlayoutOrder, PlayoutReturn, WorkerPeerStats } from "../messages.ts";
import { Kind, type Offer, type Record } from "../wasm/session.ts";
import { Buffers } from "./buffers.ts";
import { Decoder } from "./decoder.ts";
import { Encoder, type Packet } from "./encoder.ts";
import {
	CATALOG,
	catalogOffer,
	type Peer,
	peerOffer,
	RENDEZVOUS_MS,
	type Room,
	sameOffer,
	Track,
	voiceOffer,
} from "./tracks.ts";
import type { Transport } from "./transport.ts";

/** Rooms at a time: a call, others on hold, a conference. */
const ROOMS_MAX = 16;
const PEERS_MAX = 31;
/** The catalog comes again for those who joined late. */
const CATALOG_MS = 5_000;
/** Packets whose time on the way is remembered. */
const TIMES_MAX = 64;

export interface RoomsOwner {
	publishing(room: string, state: TrackState, detail: string): void;
	peer(room: string, participant: string, state: TrackState, detail: string): void;
	codecFailed(detail: string): void;
}

/** What a number of the session stands for. */
type Entry =
	| { readonly kind: "voice" | "catalog"; readonly room: Room; readonly track: Track }
	| { readonly kind: "peer"; readonly room: Room; readonly peer: Peer; readonly track: Track };

export class Rooms {
	readonly #owner: RoomsOwner;
	readonly #rooms = new Map<string, Room>();
	readonly #entries = new Map<number, Entry>();
	readonly #encoder: Encoder;
	readonly #buffers = new Buffers();
	readonly #catalog = new TextEncoder().encode(CATALOG);
	readonly #times: number[] = [];
	#transport: Transport | null = null;
	#capture: MessagePort | null = null;
	#playout: MessagePort | null = null;
	#gates = "";
	#sent = 0;
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

	get encoderRestarts(): number {
		return this.#encoder.restarts;
	}

	/** Median ms from a frame's arrival here to its packet's leaving. */
	get captureToSendMs(): number | null {
		const sorted = this.#times.toSorted((a, b) => a - b);
		return sorted[sorted.length >> 1] ?? null;
	}

	/** A track of ours or of a peer that the session has, to be asked for the round trip. */
	get anyKey(): number | null {
		for (const key of this.#entries.keys()) return key;
		return null;
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
			muted: false,
			held: false,
		};
		this.#rooms.set(media.room, joined);
		this.#publish(joined, "voice");
		this.#publish(joined, "catalog");
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
		this.#subscribe(room, peer);
	}

	removePeer(name: string, participant: string): void {
		const room = this.#rooms.get(name);
		const peer = room?.peers.get(participant);
		if (room === undefined || peer === undefined) return;
		room.peers.delete(participant);
		this.#endTrack(peer.track);
		peer.decoder.close();
		this.#play({ type: "remove", id: peer.id });
	}

	leave(name: string): void {
		const room = this.#rooms.get(name);
		if (room === undefined) return;
		for (const participant of [...room.peers.keys()]) this.removePeer(name, participant);
		this.#endTrack(room.voice);
		this.#endTrack(room.catalog);
		this.#rooms.delete(name);
		this.#gate();
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

	setHeld(name: string, held: boolean): void {
		const room = this.#rooms.get(name);
		if (room === undefined || room.held === held) return;
		room.held = held;
		for (const peer of room.peers.values()) {
			if (held) this.#play({ type: "remove", id: peer.id });
			else this.#hear(room, peer);
		}
		this.#gate();
	}

	/** A session stands. */
	up(transport: Transport): void {
		this.#transport = transport;
		for (const room of this.#rooms.values()) {
			this.#publish(room, "voice");
			this.#publish(room, "catalog");
			for (const peer of room.peers.values()) this.#subscribe(room, peer);
		}
		this.#gate();
	}

	/** It does not any more. */
	down(): void {
		for (const [key, entry] of this.#entries) {
			clearTimeout(entry.track.retry);
			if (entry.kind !== "peer") this.#rememberGroup(entry.track, key);
			entry.track.key = null;
			entry.track.state = "pending";
			this.#tell(entry, "");
		}
		this.#entries.clear();
		this.#transport = null;
		this.#gate();
	}

	/** Takes what the session says of a track. */
	record(record: Record): void {
		const entry = this.#entries.get(record.id);
		if (entry === undefined) return;
		switch (record.kind) {
			case Kind.Live:
				entry.track.accepted();
				this.#tell(entry, "");
				if (entry.kind === "catalog") this.#sendCatalog(entry.track);
				return;
			case Kind.Refused:
				this.#refused(entry, record);
				return;
			case Kind.Ended:
				this.#ended(entry, record);
				return;
			case Kind.Packet:
				if (entry.kind === "peer" && !entry.room.held && this.#playout !== null) {
					entry.peer.decoder.decode(record.bytes, record.at);
				}
		}
	}

	stats(): WorkerPeerStats[] {
		const session = this.#transport?.session;
		const all: WorkerPeerStats[] = [];
		for (const [name, room] of this.#rooms) {
			for (const { participant, track, decoder } of room.peers.values()) {
				const counts = track.key === null ? undefined : session?.counts(track.key);
				all.push({
					room: name,
					participant,
					state: track.state,
					received: counts?.received ?? 0,
					lost: counts?.lost ?? 0,
					decoderRestarts: decoder.restarts,
				});
			}
		}
		return all;
	}

	#rejoin(room: Room, media: RoomMedia): void {
		room.media = media;
		if (!sameOffer(room.voice.offer, voiceOffer(media))) {
			const groupMin = this.#replaceable(room.voice);
			this.#endTrack(room.voice);
			this.#endTrack(room.catalog);
			room.voice = new Track(voiceOffer(media));
			room.catalog = new Track(catalogOffer(media));
			room.voice.groupMin = groupMin;
			this.#publish(room, "voice");
			this.#publish(room, "catalog");
		}
		const wanted = new Set(media.peers.map((peer) => peer.participant));
		for (const participant of [...room.peers.keys()]) {
			if (!wanted.has(participant)) this.removePeer(media.room, participant);
		}
		for (const peer of media.peers) this.addPeer(media.room, peer);
	}

	#makePeer(room: Room, participant: string, offer: Offer): Peer {
		const id = this.#nextPeer++;
		const decoder = new Decoder(
			(samples) => this.#buffers.take(samples),
			(pcm, at) => this.#play({ type: "play", id, at, pcm }, [pcm.buffer]),
			(detail) => {
				this.#owner.peer(room.media.room, participant, "refused", detail);
				this.#owner.codecFailed(detail);
			},
		);
		return { participant, id, decoder, track: new Track(offer) };
	}

	/** Tells the playout worklet of a peer. */
	#hear(room: Room, { id, participant }: Peer): void {
		this.#play({ type: "add", id, room: room.media.room, participant });
	}

	#play(order: PlayoutOrder, transfer: Transferable[] = []): void {
		this.#playout?.postMessage(order, transfer);
	}

	#publish(room: Room, kind: "voice" | "catalog"): void {
		const track = room[kind];
		const transport = this.#transport;
		if (transport === null || track.key !== null || track.state === "refused") return;
		const via = kind === "voice" ? transport.voice : "stream";
		const key = this.#nextKey++;
		const entry: Entry = { kind, room, track };
		this.#begin(transport, key, entry, () =>
			transport.session.publish(key, track.offer, track.firstGroup(), via, kind === "voice"),
		);
	}

	#subscribe(room: Room, peer: Peer): void {
		const { track } = peer;
		const transport = this.#transport;
		if (transport === null || track.key !== null || track.state === "refused") return;
		const key = this.#nextKey++;
		const entry: Entry = { kind: "peer", room, peer, track };
		this.#begin(transport, key, entry, () => transport.session.subscribe(key, track.offer, RENDEZVOUS_MS));
	}

	#begin(transport: Transport, key: number, entry: Entry, ask: () => boolean): void {
		clearTimeout(entry.track.retry);
		entry.track.key = key;
		this.#entries.set(key, entry);
		if (!ask()) {
			this.#entries.delete(key);
			this.#again(entry, entry.track.refused(EXCESSIVE_LOAD, -1));
		}
		this.#tell(entry, "");
		transport.drain();
	}

	#refused(entry: Entry, { id, code, at, bytes }: Record): void {
		this.#entries.delete(id);
		this.#again(entry, entry.track.refused(code, at));
		this.#tell(entry, `${code.toString(16)} ${new TextDecoder().decode(bytes)}`.trim());
	}

	/** A track that was live is over: its publisher went away, or comes back in a moment. */
	#ended(entry: Entry, { id, bytes }: Record): void {
		this.#entries.delete(id);
		const wait = entry.track.refused(EXCESSIVE_LOAD, -1);
		entry.track.state = "ended";
		this.#tell(entry, new TextDecoder().decode(bytes));
		this.#again(entry, wait);
	}

	#again(entry: Entry, waitMs: number | null): void {
		clearTimeout(entry.track.retry);
		if (waitMs === null) return;
		entry.track.retry = setTimeout(() => {
			if (entry.kind === "peer") this.#subscribe(entry.room, entry.peer);
			else this.#publish(entry.room, entry.kind);
		}, waitMs);
	}

	#tell(entry: Entry, detail: string): void {
		const { room } = entry.room.media;
		if (entry.kind === "peer") this.#owner.peer(room, entry.peer.participant, entry.track.state, detail);
		if (entry.kind === "voice") this.#owner.publishing(room, entry.track.state, detail);
	}

	#endTrack(track: Track): void {
		clearTimeout(track.retry);
		if (track.key === null || this.#transport === null) return;
		this.#entries.delete(track.key);
		this.#transport.session.end(track.key);
		this.#transport.drain();
		track.key = null;
	}

	#rememberGroup(track: Track, key: number): void {
		const group = this.#transport?.session.group(key) ?? -1;
		track.groupMin = Math.max(track.groupMin, group + 1);
	}

	#replaceable(track: Track): number {
		if (track.key !== null) this.#rememberGroup(track, track.key);
		return track.groupMin;
	}

	#sendCatalogs(): void {
		for (const room of this.#rooms.values()) this.#sendCatalog(room.catalog);
	}

	#sendCatalog(track: Track): void {
		if (track.key === null || this.#transport === null || track.state !== "live") return;
		this.#transport.session.single(track.key, this.#catalog);
		this.#transport.drain();
	}

	/** Asks the capture worklet for frames only while somebody gets them. */
	#gate(): void {
		const speaking = this.#speaking().length > 0;
		const on = this.#transport !== null && speaking;
		const hint = !speaking && [...this.#rooms.values()].some((room) => room.muted && !room.held);
		const gates = `${on} ${hint}`;
		if (gates === this.#gates || this.#capture === null) return;
		this.#gates = gates;
		this.#order({ type: "sending", on, hint });
	}

	#speaking(): Room[] {
		return [...this.#rooms.values()].filter((room) => !room.muted && !room.held);
	}

	#order(order: CaptureOrder, transfer: Transferable[] = []): void {
		this.#capture?.postMessage(order, transfer);
	}

	#captured(frame: CapturedFrame): void {
		this.#encoder.encode(frame);
		this.#order({ type: "used", pcm: frame.pcm }, [frame.pcm.buffer]);
	}

	#packet({ bytes, at, level, since }: Packet): void {
		const transport = this.#transport;
		if (transport === null) return;
		for (const room of this.#speaking()) {
			if (room.voice.key === null) continue;
			if (transport.isCongested) {
				transport.drop();
				continue;
			}
			transport.session.voice(room.voice.key, at, level, bytes);
			transport.drain();
			this.#sent++;
		}
		if (this.#times.length >= TIMES_MAX) this.#times.shift();
		this.#times.push(performance.now() - since);
	}
}

/** REQUEST_ERROR, EXCESSIVE_LOAD: stands for refusals of our own. */
const EXCESSIVE_LOAD = 0x9;
