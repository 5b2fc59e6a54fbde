// A verifier of the log's notes and proofs that shares no code with Collegium: the
// Go project's own golang.org/x/mod/sumdb/note and /tlog, and crypto/ed25519.
//
// Reads one JSON request a line, answers one a line: {"ok":true,...} or {"error":"..."}.
// "vectors" returns roots and proofs over the leaves 0, 1, 2, ... (each its number as two
// bytes, the higher first), from which the frozen file in tests/vectors is made.
package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Do    string   `json:"do"`
	Note  string   `json:"note"`
	Keys  []string `json:"keys"`
	Leaf  string   `json:"leaf"`
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Root  string   `json:"root"`
	Old   int64    `json:"old"`
	First string   `json:"first"`
	Proof []string `json:"proof"`
	Sizes []int64  `json:"sizes"`
	Seed  string   `json:"seed"`
	Name  string   `json:"name"`
	Text  string   `json:"text"`
}

// cosigner verifies type 0x04: C2SP tlog-cosignature, written here from its text.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	when := binary.BigEndian.Uint64(sig[:8])
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", when, msg)
	return ed25519.Verify(c.key, []byte(signed), sig[8:])
}

func verifier(text string) (note.Verifier, error) {
	parts := strings.SplitN(text, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a key")
	}
	data, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(data) != 33 {
		return nil, errors.New("not a key")
	}
	if data[0] == 1 {
		return note.NewVerifier(text)
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), data...))
	hash := binary.BigEndian.Uint32(sum[:4])
	if data[0] != 4 || fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, errors.New("not a cosigner's key")
	}
	return cosigner{parts[0], hash, ed25519.PublicKey(data[1:])}, nil
}

func hashOf(text string) (h tlog.Hash, err error) {
	data, err := hex.DecodeString(text)
	if err == nil && len(data) != tlog.HashSize {
		err = errors.New("not a hash")
	}
	copy(h[:], data)
	return h, err
}

func hashesOf(texts []string) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	for _, text := range texts {
		h, err := hashOf(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

func openNote(r request) (map[string]interface{}, error) {
	var list []note.Verifier
	for _, key := range r.Keys {
		v, err := verifier(key)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	n, err := note.Open([]byte(r.Note), note.VerifierList(list...))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, sig := range n.Sigs {
		names = append(names, sig.Name)
	}
	return map[string]interface{}{"text": n.Text, "signed_by": names}, nil
}

func inclusion(r request) error {
	root, err := hashOf(r.Root)
	if err != nil {
		return err
	}
	leaf, err := hashOf(r.Leaf)
	if err != nil {
		return err
	}
	path, err := hashesOf(r.Proof)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(path, r.Size, root, r.Index, leaf)
}

func consistency(r request) error {
	root, err := hashOf(r.Root)
	if err != nil {
		return err
	}
	first, err := hashOf(r.First)
	if err != nil {
		return err
	}
	path, err := hashesOf(r.Proof)
	if err != nil {
		return err
	}
	return tlog.CheckTree(path, r.Size, root, r.Old, first)
}

func vectors(sizes []int64) (map[string]interface{}, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, stored[i])
		}
		return found, nil
	})
	most := sizes[len(sizes)-1]
	for n := int64(0); n < most; n++ {
		more, err := tlog.StoredHashes(n, []byte{byte(n >> 8), byte(n)}, reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, more...)
	}
	var out []map[string]interface{}
	for _, size := range sizes {
		root, err := tlog.TreeHash(size, reader)
		if err != nil {
			return nil, err
		}
		index, old := (size*2)/3, (size+1)/2
		path, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return nil, err
		}
		from, err := tlog.TreeHash(old, reader)
		if err != nil {
			return nil, err
		}
		tree, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return nil, err
		}
		out = append(out, map[string]interface{}{
			"size": size, "root": hex.EncodeToString(root[:]),
			"index": index, "inclusion": texts(path),
			"old": old, "old_root": hex.EncodeToString(from[:]), "consistency": texts(tree),
		})
	}
	return map[string]interface{}{"trees": out}, nil
}

func texts(hashes []tlog.Hash) []string {
	out := []string{}
	for _, h := range hashes {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return out
}

func sign(r request) (map[string]interface{}, error) {
	seed, err := hex.DecodeString(r.Seed)
	if err != nil || len(seed) != 32 {
		return nil, errors.New("not a seed")
	}
	private := ed25519.NewKeyFromSeed(seed)
	data := append([]byte{1}, private.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(r.Name+"\n"), data...))
	secret := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", r.Name, binary.BigEndian.Uint32(sum[:4]),
		base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)))
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: r.Text}, signer)
	return map[string]interface{}{"note": string(signed)}, err
}

func answer(r request) (map[string]interface{}, error) {
	switch r.Do {
	case "note":
		return openNote(r)
	case "inclusion":
		return nil, inclusion(r)
	case "consistency":
		return nil, consistency(r)
	case "vectors":
		return vectors(r.Sizes)
	case "sign":
		return sign(r)
	}
	return nil, errors.New("unknown request")
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r request
		err := json.Unmarshal(lines.Bytes(), &r)
		var said map[string]interface{}
		if err == nil {
			said, err = answer(r)
		}
		if said == nil {
			said = map[string]interface{}{}
		}
		if err != nil {
			said = map[string]interface{}{"error": err.Error()}
		} else {
			said["ok"] = true
		}
		out.Encode(said)
	}
}
