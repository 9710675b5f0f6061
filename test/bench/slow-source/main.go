// A folder seen through a file system that takes a millisecond for each operation, as a network takes; attributes are kept for three seconds, as NFS
// clients do by default at the least. Stands in for NFS: no write latency, no locking, no reading ahead of attributes (READDIRPLUS).
//
//	slow-source FOLDER MOUNT MICROSECONDS
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

type slow struct {
	fuse.RawFileSystem
	delay time.Duration
}

func (s slow) Lookup(cancel <-chan struct{}, header *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	time.Sleep(s.delay)
	return s.RawFileSystem.Lookup(cancel, header, name, out)
}

func (s slow) GetAttr(cancel <-chan struct{}, input *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	time.Sleep(s.delay)
	return s.RawFileSystem.GetAttr(cancel, input, out)
}

func (s slow) Readlink(cancel <-chan struct{}, header *fuse.InHeader) ([]byte, fuse.Status) {
	time.Sleep(s.delay)
	return s.RawFileSystem.Readlink(cancel, header)
}

func (s slow) OpenDir(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	time.Sleep(s.delay)
	return s.RawFileSystem.OpenDir(cancel, input, out)
}

func (s slow) ReadDir(cancel <-chan struct{}, input *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	time.Sleep(s.delay)
	return s.RawFileSystem.ReadDir(cancel, input, out)
}

func (s slow) Open(cancel <-chan struct{}, input *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	time.Sleep(s.delay)
	return s.RawFileSystem.Open(cancel, input, out)
}

func (s slow) Read(cancel <-chan struct{}, input *fuse.ReadIn, buffer []byte) (fuse.ReadResult, fuse.Status) {
	time.Sleep(s.delay)
	return s.RawFileSystem.Read(cancel, input, buffer)
}

func (s slow) GetXAttr(cancel <-chan struct{}, header *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	time.Sleep(s.delay)
	return s.RawFileSystem.GetXAttr(cancel, header, name, dest)
}

func (s slow) ListXAttr(cancel <-chan struct{}, header *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	time.Sleep(s.delay)
	return s.RawFileSystem.ListXAttr(cancel, header, dest)
}

func main() {
	if err := mount(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func mount(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: slow-source FOLDER MOUNT MICROSECONDS")
	}
	delay, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	root, err := fs.NewLoopbackRoot(args[0])
	if err != nil {
		return err
	}
	keep := 3 * time.Second
	files := fs.NewNodeFS(root, &fs.Options{AttrTimeout: &keep, EntryTimeout: &keep})
	server, err := fuse.NewServer(slow{files, time.Duration(delay) * time.Microsecond}, args[1], &fuse.MountOptions{
		DirectMountStrict:  true,
		FsName:             "slow",
		Name:               "slow",
		MaxBackground:      256,
		DisableReadDirPlus: true,
		// Reads go through this program: the kernel would answer them itself.
		MaxStackDepth: 0,
	})
	if err != nil {
		return err
	}
	// Tells whoever started it that the folder is mounted.
	go func() {
		if server.WaitMount() == nil {
			fmt.Println("mounted")
		}
	}()
	server.Serve()
	return nil
}
