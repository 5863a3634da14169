"""Where copies of the erased images and of the original model remain, removing them, and the proof that they are gone.

`places` knows where copies come to lie, `removal` takes them away and keeps DVC consistent, `search` looks for the
bytes themselves, in every file and in git's objects: it finds what nobody knew of. `survey` does all of it.
"""
