-- A run as it is, and once it has ended what it put into its agent's history; reads only.
--
-- ARGV  1 run
-- Reply {hash as a flat list, messages as JSON}  {} (there is no such run)
-- include: told
return told(ARGV[1])
