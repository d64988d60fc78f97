package ckpt
