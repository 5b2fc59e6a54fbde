"""Evaluations drawn many times: what bins hide, how wide intervals are, how often they hold."""
