package vfs

import "golang.org/x/sys/unix"

func renameNoReplace(oldName, newName string) error {
	for {
		err := unix.RenamexNp(oldName, newName, unix.RENAME_EXCL)
		if err != unix.EINTR {
			return err
		}
	}
}
