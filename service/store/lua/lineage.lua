-- lineage(): which line of writes this server's data is on. Every start and every promotion begins a new one, for
-- what came last on the line before may be missing. '' where the server does not tell
-- (an access list without INFO), which examine.py and `blockwire doctor` warn of: then no promotion is noticed.
local lineage
do
  local known
  lineage = function()
    if not known then
      local told = redis.pcall('INFO', 'replication')
      known = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
    end
    return known
  end
end
