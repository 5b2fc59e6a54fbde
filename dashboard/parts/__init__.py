"""Parts of the page: what each of them shows of a folder of runs, and the pieces they are made of.

They only place what ``presentation`` and the reports' sections say.
"""
